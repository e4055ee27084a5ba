"""The rig as a fixture, and pictures of our own making."""

import sys
from fractions import Fraction
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig import Rig


@pytest.fixture
def rig(tmp_path):
    site = Rig(tmp_path)
    yield site
    site.stop()


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory):
    """A 12-second 640×480 H.264 video at 25 frames per second whose strip says which frame is which."""
    import av
    import numpy as np

    path = tmp_path_factory.mktemp("video") / "numbered.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        stream.time_base = Fraction(1, 25)
        stream.options = {"preset": "ultrafast", "crf": "20"}
        rows, columns = np.mgrid[0:480, 0:640]
        for number in range(300):
            planes = [(rows + number) % 256, (columns + 2 * number) % 256, (rows + columns) % 256]
            picture = np.stack(planes, -1).astype(np.uint8)
            bits = [(number >> (31 - block)) & 1 for block in range(32)]
            row = np.repeat(np.where(bits, 235, 16), 20).astype(np.uint8)
            picture[:16] = row[None, :, None]
            picture[16:32] = (251 - row)[None, :, None]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
