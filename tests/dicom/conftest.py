"""Small clips, made once for all tests of this room."""

from collections.abc import Callable
from pathlib import Path

import object_samples as samples
import pytest

from capture.frame import Clip


@pytest.fixture(scope="session")
def clip_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    """A function from a name of object_samples.CLIPS to that clip."""
    folder: Path = tmp_path_factory.mktemp("clips")
    made: dict[str, Clip] = {}

    def clip(name: str) -> Clip:
        if name not in made:
            make = samples.raw_clip if name.startswith("raw") else samples.video_clip
            made[name] = make(folder, name)
        return made[name]

    return clip
