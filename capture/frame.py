"""What was seen, when, and in which pixel format: Frame, Still, Clip."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

Pixels = NDArray[Any]  # (rows, columns) or (rows, columns, 3); uint8 or uint16


@dataclass(frozen=True)
class Format:
    """How the frames of a source look.

    `pixels` is FFmpeg's name of the pixel format (`rgb24`, `gray`, `gray16le`, `yuv420p`, `yuyv422` …), `rate` is in
    frames per second, `aspect` is the width of a pixel divided by its height, `field_order` is `progressive`, `tff`
    (top field first) or `bff`.
    """

    width: int
    height: int
    rate: Fraction
    pixels: str = "rgb24"
    aspect: Fraction = Fraction(1)
    field_order: str = "progressive"


@dataclass(frozen=True)
class Frame:
    """One frame as its source delivered it.

    `number` counts from 0 since the source was opened, gaps are lost frames; `time` is seconds since 1970 (UTC) from
    the kernel where it stamps frames; `image` is an array (rgb24, gray, gray16le) or PyAV's frame. `losses` are the
    lossy compressions that the pixels went through before they came here.
    """

    number: int
    time: float
    image: Pixels | av.VideoFrame
    format: Format
    losses: tuple[Loss, ...] = ()
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def converted(self, pixels: str, width: int, height: int) -> Pixels:
        """PyAV's frame as an array in another pixel format and size (scaled by area).

        One thread at a time: a frame of PyAV keeps its converter, and two threads in that crash the process. Screen,
        stills and recorder all look at the newest frame.
        """
        assert not isinstance(self.image, np.ndarray)
        with self.turn:
            return self.image.reformat(width=width, height=height, format=pixels, interpolation="AREA").to_ndarray()

    def array(self) -> Pixels:
        """The picture as (rows, columns, 3) RGB, or (rows, columns) where the source is gray; uint8 or uint16."""
        if isinstance(self.image, np.ndarray):
            return self.image
        target = "gray16le" if self.format.pixels.startswith("gray16") else "gray" if self.is_gray else "rgb24"
        with self.turn:
            return self.image.to_ndarray(format=target)

    @property
    def is_gray(self) -> bool:
        """Whether the source delivers brightness only."""
        return self.format.pixels.startswith("gray")


@dataclass(frozen=True)
class Loss:
    """One lossy compression that the pixels went through: how many times smaller, and by which codec.

    `codec` is `jpeg`, `jpeg2000`, `jpegls`, `htj2k`, `mpeg2video`, `h264` or `hevc`.
    """

    codec: str
    ratio: float


@dataclass(frozen=True)
class Stream:
    """A coded picture that may be taken as it is: `codec` is `jpeg` (baseline) or `jpeg2000`.

    `color` says what the samples are: `gray`, `ycc` (JPEG), `rct`, `ict` or `rgb`; `subsampling` is `444`, `422`,
    `420` or empty.
    """

    data: bytes
    codec: str
    width: int
    height: int
    bits: int
    color: str
    subsampling: str = ""
    lossy: bool = True


@dataclass(frozen=True)
class Still:
    """One picture to be kept: pixels, or a stream that goes in byte for byte (then `pixels` is None).

    `bits` is how many bits of each sample carry meaning; `aspect` as in Format; `captured` carries its time zone;
    `losses` are the lossy compressions the pixels went through before they came here; `millimetres` is (between rows,
    between columns) where the source knows it, as a scanner does.
    """

    captured: datetime
    pixels: Pixels | None = None
    stream: Stream | None = None
    bits: int = 8
    aspect: Fraction = Fraction(1)
    losses: tuple[Loss, ...] = ()
    millimetres: tuple[float, float] | None = None
    derivation: str = ""
    flaws: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns."""
        return self.stream.width if self.pixels is None and self.stream else int(self._shape()[1])

    @property
    def height(self) -> int:
        """Rows."""
        return self.stream.height if self.pixels is None and self.stream else int(self._shape()[0])

    @property
    def is_gray(self) -> bool:
        """Whether there is one sample per pixel."""
        return self.stream.color == "gray" if self.pixels is None and self.stream else len(self._shape()) == 2

    def _shape(self) -> tuple[int, ...]:
        if self.pixels is None:
            raise ValueError("a Still has pixels or a stream")
        return self.pixels.shape


@dataclass(frozen=True)
class Clip:
    """Moving pictures in a file.

    `codec` is `raw` (frames one after the other in `format.pixels`, no padding), or `mpeg2video`, `h264`, `hevc` in a
    `container` (`mpeg` program stream, `mpegts`, `mp4`). `times` are seconds since the first frame,
    given only where frames are missing or the rate is not constant. `profile` and `level` are the stream's own words.
    """

    path: Path
    codec: str
    container: str
    format: Format
    frames: int
    captured: datetime
    times: tuple[float, ...] = ()
    profile: str = ""
    level: int = 0
    losses: tuple[Loss, ...] = ()
    derivation: str = ""
    flaws: tuple[str, ...] = ()
    has_sound: bool = False
    markers: tuple[float, ...] = field(default_factory=tuple)

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return float(self.frames / self.format.rate) if self.format.rate else 0.0
