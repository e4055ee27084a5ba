"""The menu: which kind of object, as which SOP class, may carry which transfer syntax."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from appliance.dicom.pixels import raw_bits
from appliance.dicom.syntaxes import METHODS, SYNTAXES, Syntax, by_stream
from appliance.errors import IllegalPair, InputError, SettingsError
from capture.frame import Clip, Still

Subject = Still | Clip | Literal["document"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
SC = _STORAGE + "7"
SC_BYTE = _STORAGE + "7.2"
SC_WORD = _STORAGE + "7.3"
SC_COLOUR = _STORAGE + "7.4"
US = _STORAGE + "6.1"
US_MULTI = _STORAGE + "3.1"
ENCAPSULATED_PDF = _STORAGE + "104.1"

MULTI_FRAME_SC = frozenset({SC_BYTE, SC_WORD, SC_COLOUR})
VIDEO_VL = frozenset({_STORAGE + end for end in ("77.1.1.1", "77.1.2.1", "77.1.4.1")})
VL = VIDEO_VL | {_STORAGE + end for end in ("77.1.1", "77.1.2", "77.1.4")}


@dataclass(frozen=True)
class Kind:
    """One word of `--object`: its SOP classes for a still and for a clip, and what its IODs allow.

    `modalities` are the legal ones, the usual one first, empty where any will do; `max_bits` is the largest Bits Stored.
    """

    word: str
    still: str = ""
    clip: str = ""
    modalities: tuple[str, ...] = ()
    max_bits: int = 8


KINDS: dict[str, Kind] = {
    kind.word: kind
    for kind in (
        Kind("sc", SC, SC_COLOUR, max_bits=16),
        Kind("us", US, US_MULTI, ("US",)),
        Kind("vl-endoscopic", _STORAGE + "77.1.1", _STORAGE + "77.1.1.1", ("ES",)),
        Kind("vl-microscopic", _STORAGE + "77.1.2", _STORAGE + "77.1.2.1", ("GM",)),
        Kind("vl-photographic", _STORAGE + "77.1.4", _STORAGE + "77.1.4.1", ("XC",)),
        Kind("document", modalities=("DOC",)),
    )
}
_BY_MODALITY = {
    "ES": "vl-endoscopic",
    "GM": "vl-microscopic",
    "SM": "vl-microscopic",
    "XC": "vl-photographic",
    "OP": "vl-photographic",
    "DMS": "vl-photographic",
    "US": "us",
    "IVUS": "us",
    "DOC": "document",
}


def kind_for(modality: str, subject: Subject | None = None) -> str:
    """The kind that `auto` means for a modality; where the subject is known and does not fit it, `sc` (or `document`)."""
    if subject == "document":
        return "document"
    word = _BY_MODALITY.get(modality, "sc")
    if subject is not None and (word == "document" or bits_of(subject) > KINDS[word].max_bits):
        return "sc"
    return word


def modality_for(kind: str, modality: str) -> str:
    """The modality that a series of this kind bears in an exam of that modality: the exam's own wherever it is legal."""
    legal = find_kind(kind).modalities
    return modality if modality and (modality in legal or not legal) else (*legal, "OT")[0]


def find_kind(word: str) -> Kind:
    """The kind of that `--object` word; SettingsError names the nearest."""
    if word in KINDS:
        return KINDS[word]
    near = difflib.get_close_matches(word.lower(), KINDS, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(KINDS)}"
    raise SettingsError(f"There is no kind of object called {word!r}{hint}")


def bits_of(subject: Subject) -> int:
    """How many bits of each sample carry meaning (Bits Stored)."""
    if subject == "document":
        return 8
    if isinstance(subject, Still):
        return subject.stream.bits if subject.pixels is None and subject.stream else subject.bits
    return raw_bits(subject.format.pixels)


def is_coded(clip: Clip) -> bool:
    """Whether the clip is a video stream that DICOM has a syntax for; others are taken frame by frame."""
    return clip.codec in METHODS


def syntax_of(clip: Clip, asked: Syntax | None = None) -> Syntax:
    """The syntax under which a coded clip's stream is legal as it is: the asked one where that is, too.

    InputError says why there is none.
    """
    layout = clip.format
    found = by_stream(clip.codec, clip.profile, clip.level, layout.width, layout.height, layout.rate)
    if asked is not None and found.name == "h264" and asked.name in ("h264-42", "h264-bd"):
        return asked
    return found


def demand_pair(kind: str, syntax: Syntax, what: Literal["still", "clip", "document"]) -> None:
    """Before anything is captured: raise IllegalPair where no still, clip or document could make this pair (PS3.4 B.5)."""
    document = what == "document" or kind == "document"
    wrong = (kind == "document") != (what == "document") or (document and syntax.kind != "native")
    if not wrong and not (what == "still" and syntax.kind == "video"):
        find_kind(kind)
        return
    legal = [
        f"{word} as {', '.join(one.name for one in SYNTAXES.values() if _may(one, what))}"
        for word in KINDS
        if (word == "document") == (what == "document")
    ]
    raise IllegalPair(f"A {what} cannot become {find_kind(kind).word} as {syntax.name}.", f"Legal: {'; '.join(legal)}.")


def _may(syntax: Syntax, what: str) -> bool:
    """Whether a still, a clip or a document may ever have that syntax."""
    return syntax.kind == "native" or (what != "document" and (syntax.kind == "frame" or what == "clip"))


def legal_syntaxes(kind: str, subject: Subject) -> list[str]:
    """The `--syntax` words that this kind of object may carry for this subject; none where it cannot hold it at all.

    Bits, colours, and of a coded clip the stream itself decide; SettingsError for a kind that there is not.
    """
    return [word for word, syntax in SYNTAXES.items() if not _objection(find_kind(kind), subject, syntax)]


def sop_class(kind: str, subject: Subject, syntax: Syntax) -> str:
    """The SOP Class UID of this kind of object made from this subject, in this transfer syntax (PS3.4 B.5).

    Raises IllegalPair naming the legal syntaxes, or the kinds that could hold the subject.
    """
    row = find_kind(kind)
    why = _objection(row, subject, syntax)
    if why:
        legal = legal_syntaxes(kind, subject)
        others = [word for word in KINDS if legal_syntaxes(word, subject)]
        advice = f"Legal for {kind}: {_list(legal)}." if legal else f"Choose another --object: {_list(others)}."
        raise IllegalPair(f"{kind} cannot be written as {syntax.name}: {why}.", advice)
    if subject == "document":
        return ENCAPSULATED_PDF
    if isinstance(subject, Still):
        return row.still
    if kind == "sc" and subject.format.pixels.startswith("gray") and syntax.kind != "video":
        return SC_BYTE if bits_of(subject) <= 8 else SC_WORD
    return row.clip


def _objection(kind: Kind, subject: Subject, syntax: Syntax) -> str:
    """Why not, in words that go into a sentence; empty where the pair is legal."""
    if (subject == "document") != (kind.word == "document"):
        return "document holds PDF files and nothing else"
    if subject == "document":
        return "" if syntax.kind == "native" else "a PDF is not compressed as pixels are"
    bits = bits_of(subject)
    if bits > kind.max_bits:
        return f"it holds {kind.max_bits} bits per sample, this picture has {bits}"
    if bits > syntax.max_bits:
        return f"the syntax holds {syntax.max_bits} bits per sample, this picture has {bits}"
    if isinstance(subject, Clip):
        return _clip_objection(kind, subject, syntax)
    return "one still picture is not a video" if syntax.kind == "video" else ""


def _clip_objection(kind: Kind, clip: Clip, syntax: Syntax) -> str:
    """Why a clip is not legal: its stream must be the syntax's own, in size, rate, level, container and pixel shape."""
    if syntax.kind == "video":
        if syntax.max_bits > 8:
            return f"{kind.word} clips hold 8 bits per sample, {syntax.name} has {syntax.max_bits}"
        if not is_coded(clip):
            return "the clip was kept as single frames, not as video; record it with that codec"
        if clip.codec != syntax.codec:
            return f"the clip is {clip.codec} video"
        try:
            right = syntax_of(clip, syntax)
        except InputError as error:
            return str(error).removesuffix(".")
        if right is not syntax:
            return f"this stream is legal as {right.name}"
        if clip.container not in syntax.containers:
            return f"DICOM allows {', '.join(syntax.containers)} around it, not {clip.container or 'none'}"
        if syntax.square_pixels and clip.format.aspect != 1:
            return "that syntax allows square pixels only"
    elif kind.word == "sc" and bits_of(clip) > 8 and not clip.format.pixels.startswith("gray"):
        return "a colour clip holds 8 bits per sample"
    return ""


def _list(words: Iterable[str]) -> str:
    """Words for people."""
    return ", ".join(words) or "none"
