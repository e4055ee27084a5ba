"""Pure array work: crop, turn, fit, the right colours; and clips and coded pictures back to arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.stream import VideoStream

from capture.coding import BT470BG, BT709, FULL, LIMITED, SMPTE170M
from capture.frame import Clip, Frame, Pixels, Stream
from capture.source import BadPicture

_BT2020 = 9  # AVColorSpace
_RAW = {"rgb24": ("u1", 3), "gray": ("u1", 1), "gray16le": ("<u2", 1)}


def matrix_for(width: int, height: int) -> int:
    """The colour matrix of untagged video of this size, as players guess it: BT.709 from 720 lines, else BT.601."""
    if height >= 720 or width >= 1280:
        return BT709
    return BT470BG if height > 486 else SMPTE170M


def settle_colour(frame: av.VideoFrame) -> av.VideoFrame:
    """Write down which colour matrix an untagged YUV frame means, so that screen, still and clip agree."""
    is_yuv = frame.format.name.startswith(("yuv", "nv", "uyvy", "yvyu"))
    if is_yuv and int(frame.colorspace) not in (BT709, BT470BG, SMPTE170M, _BT2020):
        frame.colorspace = matrix_for(frame.width, frame.height)
    if int(frame.color_range) not in (LIMITED, FULL):
        frame.color_range = FULL if frame.format.name.startswith("yuvj") else LIMITED
    return frame


def plane_of(image: av.VideoFrame, at: int) -> Pixels:
    """A plane of 8-bit samples as a writable view (rows, columns): no copy, valid while the frame lives."""
    plane = image.planes[at]
    samples: Any = plane
    return np.frombuffer(samples, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def crop(picture: Pixels, left: int, top: int, width: int, height: int) -> Pixels:
    """The part of a picture that begins at (left, top); ValueError where it reaches outside."""
    rows, columns = picture.shape[:2]
    if left < 0 or top < 0 or width < 1 or height < 1 or left + width > columns or top + height > rows:
        raise ValueError(f"{width}×{height} at ({left}, {top}) is not inside {columns}×{rows}")
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def rotate(picture: Pixels, quarters: int) -> Pixels:
    """Turn by so many quarter turns to the right (clockwise)."""
    return np.ascontiguousarray(np.rot90(picture, -quarters % 4)) if quarters % 4 else picture


def orient(picture: Pixels, orientation: int) -> Pixels:
    """Upright by EXIF's orientation, 1 to 8 (Exif 2.32, tag 0x0112); anything else leaves the picture as it is."""
    if orientation in (2, 4, 5, 7):
        picture = np.ascontiguousarray(picture[:, ::-1])
    return rotate(picture, {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}.get(orientation, 0))


def fit_width(picture: Pixels, width: int) -> Pixels:
    """The picture scaled down to at most this width, its proportions kept; never scaled up."""
    rows, columns = picture.shape[:2]
    if columns <= width:
        return picture
    size = (width, max(1, round(rows * width / columns)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def preview(frame: Frame, width: int) -> Pixels:
    """A frame for the screen: (rows, columns, 3) BGR or (rows, columns) gray, uint8, at most `width` columns.

    Pixels that are not square are made square. A YUV frame is scaled before it is converted: half the work.
    """
    shape = frame.format
    seen = max(1, round(shape.width * shape.aspect)) if shape.aspect > 1 else shape.width
    high = shape.height if shape.aspect >= 1 else max(1, round(shape.height / shape.aspect))
    columns = min(width, seen)
    rows = max(1, round(high * columns / seen))
    if isinstance(frame.image, np.ndarray):
        picture = frame.image if frame.image.dtype == np.uint8 else (frame.image >> 8).astype(np.uint8)
        if (columns, rows) != (shape.width, shape.height):
            picture = np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA))
        return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    target = "gray" if frame.is_gray else "bgr24"
    return frame.converted(target, columns, rows)


def decode_stream(stream: Stream) -> Pixels:
    """The pixels of a coded picture: (rows, columns, 3) RGB or (rows, columns), uint8 or uint16; BadPicture."""
    data = np.frombuffer(stream.data, np.uint8)
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    flags |= cv2.IMREAD_GRAYSCALE if stream.color == "gray" else cv2.IMREAD_COLOR
    try:
        picture = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise BadPicture(f"a {stream.codec} picture cannot be decoded: {error}") from error
    if picture is None:
        raise BadPicture(f"a {stream.codec} picture cannot be decoded.")
    return np.asarray(picture) if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def read_frames(clip: Clip) -> Iterator[Pixels]:
    """Every frame of a clip in display order, one at a time: (rows, columns, 3) RGB or (rows, columns) where gray.

    Raw clips of rgb24, gray and gray16le come as they were; video is decoded. BadPicture for what cannot be read.
    """
    return _read_raw(clip) if clip.codec == "raw" else _read_video(clip)


def _read_raw(clip: Clip) -> Iterator[Pixels]:
    shape = clip.format
    if shape.pixels not in _RAW:
        raise BadPicture(f"{clip.path.name}: a raw clip of {shape.pixels} cannot be read.")
    kind, samples = _RAW[shape.pixels]
    size = (shape.height, shape.width, samples) if samples > 1 else (shape.height, shape.width)
    count = int(np.prod(size))
    with clip.path.open("rb") as file:
        for number in range(clip.frames):
            picture = np.fromfile(file, np.dtype(kind), count)
            if picture.size < count:
                raise BadPicture(f"{clip.path.name} ends in frame {number} of {clip.frames}.")
            yield picture.reshape(size)


def _read_video(clip: Clip) -> Iterator[Pixels]:
    target = "gray" if clip.format.pixels.startswith("gray") else "rgb24"
    try:
        with av.open(str(clip.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                for frame in _decode(packet, lenient=bool(clip.flaws)):
                    yield settle_colour(frame).to_ndarray(format=target)
    except av.error.FFmpegError as error:
        raise BadPicture(f"{clip.path.name} cannot be played to its end: {error}") from error


def _decode(packet: av.Packet[VideoStream], lenient: bool) -> list[av.VideoFrame]:
    """The frames of a packet; in a clip that is known to be damaged, a packet that cannot be decoded has none."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if lenient:
            return []
        raise
