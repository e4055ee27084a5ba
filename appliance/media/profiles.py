"""The media application profiles we write, as a table: what a reader of each must be able to read (PS3.11)."""

from dataclasses import dataclass

from appliance.errors import SettingsError


@dataclass(frozen=True)
class Profile:
    """One media application profile: its name in PS3.11, the syntaxes it allows (names of COMMANDS.md), the medium.

    `fallback` is what a still in another syntax is transcoded to; `megabytes` is what the medium holds, 0 for no limit.
    """

    name: str
    syntaxes: tuple[str, ...]
    fallback: str
    medium: str
    megabytes: int = 0


PROFILES = {
    "cd": Profile("STD-GEN-CD", ("explicit",), "explicit", "CD-R", 650),
    "dvd-jpeg": Profile("STD-GEN-DVD-JPEG", ("explicit", "jpeg-lossless", "jpeg"), "jpeg-lossless", "DVD", 4_300),
    "usb-jpeg": Profile("STD-GEN-USB-JPEG", ("explicit", "jpeg-lossless", "jpeg"), "jpeg-lossless", "USB stick"),
    "dvd-mpeg2": Profile("STD-GEN-DVD-MPEG2-MPML", ("mpeg2",), "", "DVD", 4_300),
    "dvd-mpeg2-hd": Profile("STD-GEN-DVD-MPEG2-MPHL", ("mpeg2-hd",), "", "DVD", 4_300),
    "bd-h264": Profile("STD-GEN-BD-MPEG4-HPLV41", ("h264",), "", "Blu-ray disc", 23_000),
}
STILL_PROFILES = ("cd", "dvd-jpeg", "usb-jpeg")


def by_name(word: str) -> Profile:
    """A profile by our word for it; raises SettingsError naming the known ones."""
    if word not in STILL_PROFILES:
        raise SettingsError(f"no media profile is called {word!r}; known: auto, {', '.join(STILL_PROFILES)}")
    return PROFILES[word]


def for_video(syntax: str) -> Profile | None:
    """The profile that lets a video of this syntax onto the same medium; None where the standard has none."""
    for profile in PROFILES.values():
        if not profile.fallback and syntax in profile.syntaxes:
            return profile
    return None
