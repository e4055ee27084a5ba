"""Media and their application profiles, as a table: what a reader of each must be able to read (PS3.11 D, H, I, J, M)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from appliance.errors import SettingsError


@dataclass(frozen=True)
class Medium:
    """One kind of medium with the standard's profiles for it.

    `profile` is the general-purpose one, `syntaxes` those it allows (names of COMMANDS.md) for anything but video, and
    `fallback` what an object in another one is transcoded to. `videos` names the profile for each video syntax that the
    standard allows there. `megabytes` is what the medium holds, 0 for no limit; `udf` whether it needs that file system.
    """

    word: str
    name: str
    profile: str
    syntaxes: tuple[str, ...]
    fallback: str
    videos: Mapping[str, str] = field(default_factory=dict)
    megabytes: int = 0
    udf: bool = False

    @property
    def private(self) -> str:
        """The private profile (PS3.2 7.4.3) under which a video goes that the standard has no place for on this medium."""
        return f"PRI-DICAP-{self.profile.removeprefix('STD-GEN-').removesuffix('-JPEG')}-VIDEO"

    def allows(self, syntax: str) -> bool:
        """Whether a profile of the standard lets an object of this syntax onto the medium as it is."""
        return syntax in self.syntaxes or syntax in self.videos


_JPEG = ("explicit", "jpeg-lossless", "jpeg", "jpeg-extended")
_ON_BLU_RAY = {
    "mpeg2": "STD-GEN-BD-MPEG2-MPML",
    "mpeg2-hd": "STD-GEN-BD-MPEG2-MPHL",
    "h264": "STD-GEN-BD-MPEG4-HPLV41",
    "h264-bd": "STD-GEN-BD-MPEG4-HPLV41BD",
    "h264-42": "STD-GEN-BD-MPEG4-HPLV42-2D",
}
MEDIA: dict[str, Medium] = {
    medium.word: medium
    for medium in (
        Medium("cd", "CD", "STD-GEN-CD", ("explicit",), "explicit", megabytes=650),
        Medium("dvd-jpeg", "DVD", "STD-GEN-DVD-JPEG", _JPEG, "jpeg-lossless", {"mpeg2": "STD-DVD-MPEG2-MPML"}, 4_300),
        Medium("bd-jpeg", "Blu-ray disc", "STD-GEN-BD-JPEG", _JPEG, "jpeg-lossless", _ON_BLU_RAY, 23_000, udf=True),
        Medium("usb-jpeg", "USB stick", "STD-GEN-USB-JPEG", _JPEG, "jpeg-lossless"),
    )
}
_DISCS = ("cd", "dvd-jpeg", "bd-jpeg")


def choose(word: str, syntaxes: Collection[str], megabytes: float, is_image: bool) -> Medium:
    """The medium that a `--profile` word means for objects of these syntaxes and this size without compression.

    `auto`: a folder is meant for a USB stick; an image is for the smallest disc that holds everything under a profile of
    the standard, else for the largest. SettingsError names the known words.
    """
    if word != "auto":
        if word not in MEDIA:
            raise SettingsError(f"no media profile is called {word!r}; known: auto, {', '.join(MEDIA)}")
        return MEDIA[word]
    if not is_image:
        return MEDIA["usb-jpeg"]
    videos = [one for one in syntaxes if one.startswith(("mpeg", "h264", "hevc"))]
    for disc in (MEDIA[one] for one in _DISCS):
        if megabytes < disc.megabytes and all(disc.allows(video) for video in videos):
            return disc
    # no standard disc takes these videos: then the smallest that holds them, under the private profile
    return next((MEDIA[one] for one in _DISCS if megabytes < MEDIA[one].megabytes), MEDIA["bd-jpeg"])


def known_anywhere(syntax: str) -> bool:
    """Whether any profile in the table has a place for the syntax."""
    return any(medium.allows(syntax) for medium in MEDIA.values())
