"""The few pictures at a cut that build on both its sides: encoded again, so that each side can be played alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from capture.footage import Facts, VideoPacket
from capture.mpeg2 import SEQUENCE_END

ENCODERS = {"mpeg2video": "mpeg2video", "h264": "libx264", "hevc": "libx265"}


def renewed(packet: VideoPacket, data: bytes) -> VideoPacket:
    """The packet with other bytes; its times are to be set anew."""
    fresh = cast("VideoPacket", Packet(data))
    fresh.is_keyframe = packet.is_keyframe
    return fresh


def encode_again(frames: Sequence[av.VideoFrame], facts: Facts, rate: Fraction) -> list[VideoPacket]:
    """A few frames as a closed group of pictures of the stream's own codec, one packet each, in the order given.

    Nearly without loss and without B pictures; every packet that needs them carries its own headers.
    """
    coder = av.CodecContext.create(ENCODERS[facts.codec], "w")
    assert isinstance(coder, VideoCodecContext)
    first = frames[0]
    coder.width, coder.height, coder.pix_fmt = first.width, first.height, first.format.name
    coder.framerate, coder.time_base = rate, 1 / rate
    coder.sample_aspect_ratio = facts.format.aspect
    coder.gop_size, coder.max_b_frames, coder.thread_count = 30, 0, 1
    interlaced = facts.format.field_order != "progressive"
    if facts.codec == "mpeg2video":
        flags = "+qscale" + ("+ildct+ilme" if interlaced else "")
        coder.options = {"flags": flags, "global_quality": "236", "level": str(facts.level or 8), "profile": "4"}
    elif facts.codec == "h264":
        scan = {"tff": ":tff=1", "bff": ":bff=1"}.get(facts.format.field_order, "")
        params = "repeat-headers=1:8x8dct=1" + scan
        coder.options = {"preset": "medium", "crf": "12", "profile": "high", "x264-params": params}
    else:
        coder.options = {"preset": "fast", "crf": "12", "x265-params": "repeat-headers=1:log-level=none:bframes=0"}
    coded: list[VideoPacket] = []
    for place, frame in enumerate(frames):
        frame.pict_type = 0
        frame.pts, frame.time_base = place, 1 / rate
        coded += coder.encode(frame)
    coded += coder.encode(None)
    if facts.codec == "mpeg2video":
        # a sequence header may differ from the one before only after a sequence end code (H.262 6.1.1.6)
        coded[0] = renewed(coded[0], SEQUENCE_END + bytes(coded[0]))
    return coded
