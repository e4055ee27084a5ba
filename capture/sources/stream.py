"""Network cameras: RTSP, or a video stream over TCP, UDP or HTTP."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from capture.frame import Format, Frame
from capture.picture import settle_colour
from capture.source import SourceLost, SourceMissing

_CONNECT, _SILENCE = 5.0, 5.0  # seconds
_PATIENCE = _SILENCE + 1


def open_spec(spec: str) -> NetworkStream:
    """Open `rtsp://…` (also rtsps, tcp, udp, http); SourceMissing where nobody answers or no video comes."""
    return NetworkStream(spec)


class NetworkStream:
    """A camera on the network.

    Its frames carry the time at which they came: the camera's own clock is not trusted. Opening takes 5 seconds at the
    most, and so does a silence before `read` raises SourceLost. A password in the address is shown nowhere.
    """

    live = True

    def __init__(self, spec: str) -> None:
        self.name = re.sub(r"//[^/@]*@", "//", spec)  # never a password on a screen or in a log
        options = {"rtsp_transport": "tcp", "fflags": "nobuffer"} if spec.startswith("rtsp") else {}
        try:
            self._container: InputContainer = av.open(spec, options=options, timeout=(_CONNECT, _SILENCE))
        except (av.error.FFmpegError, OSError) as error:
            raise SourceMissing(
                f"{self.name} does not answer: {error.strerror or error}.", "Check the camera's address, power and network."
            ) from error
        self._lock = threading.Lock()
        self._closed = False
        self._number = 0
        try:
            self._frames = self._play()
            self._first: av.VideoFrame | None = next(self._frames)
        except (StopIteration, av.error.FFmpegError, IndexError) as error:
            self._container.close()
            raise SourceMissing(f"{self.name} answers, but sends no video.", "Check the path behind the address.") from error
        self.format = _format_of(self._first, self._container.streams.video[0])

    def read(self) -> Frame | None:
        """The next frame; None at the end of the stream or once closed. SourceLost when nothing comes any more."""
        with self._lock:
            if self._closed:
                return None
            try:
                image, self._first = self._first or next(self._frames, None), None
            except av.error.FFmpegError as error:
                raise SourceLost(f"{self.name} sends nothing any more: {error.strerror}.") from error
        if image is None:
            return None
        number, self._number = self._number, self._number + 1
        return Frame(number, time.time(), settle_colour(image), self.format)

    def close(self) -> None:
        """Leave the camera."""
        self._closed = True
        if self._lock.acquire(timeout=_PATIENCE):
            self._container.close()
            self._lock.release()

    def _play(self) -> Iterator[av.VideoFrame]:
        """Frames as they come; what is damaged is passed over."""
        for packet in self._container.demux(self._container.streams.video[0]):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                continue  # the first packets may lack their key frame


def _format_of(image: av.VideoFrame, stream: VideoStream) -> Format:
    rate = stream.guessed_rate or stream.average_rate or 25
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    return Format(image.width, image.height, Fraction(rate), image.format.name, aspect or Fraction(1))
