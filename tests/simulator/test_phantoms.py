"""Phantoms: the same numbers on every machine, quick, and like what they stand for."""

import hashlib
import math

import numpy as np
import pytest

from appliance.simulator import grain
from appliance.simulator.grain import Grain
from appliance.simulator.phantoms import FRAMES, ct_slice, endoscopy_frame, ultrasound_frame

# of these very pixels: whoever changes a phantom changes the bytes of every simulation, and says so here
KNOWN = {
    "CT": "6a5a427f34feb529",
    "US": "8f5e7fa4b607b8ce",
    "ES": "7ccd948c2dec3d8e",
}
DRAWN = {
    "CT": lambda seed, number: ct_slice(seed, number, 8),
    "US": ultrasound_frame,
    "ES": endoscopy_frame,
}


@pytest.mark.parametrize("modality", DRAWN)
def test_the_pixels_are_the_same_on_every_machine(modality):
    digest = hashlib.sha256(DRAWN[modality](7, 3).tobytes()).hexdigest()
    assert digest[:16] == KNOWN[modality]


@pytest.mark.parametrize("modality", DRAWN)
def test_no_two_pictures_are_alike(modality):
    drawn = {DRAWN[modality](seed, number).tobytes() for seed in (1, 2) for number in range(8)}
    assert len(drawn) == 16


@pytest.mark.parametrize(
    ("modality", "shape", "kind"),
    [("CT", (256, 256), np.uint16), ("US", (480, 640), np.uint8), ("ES", (480, 640, 3), np.uint8)],
)
def test_shapes_are_what_a_modality_makes(modality, shape, kind):
    picture = DRAWN[modality](1, 0)
    assert picture.shape == shape and picture.dtype == kind and picture.flags.c_contiguous
    assert set(FRAMES) == {"US", "ES"}


def test_a_ct_slice_has_the_hounsfield_units_of_a_body():
    slices = [ct_slice(11, index, 8).astype(int) - 1024 for index in range(8)]
    assert all(one.min() == -1024 and one.max() <= 3071 for one in slices)
    chest, belly = slices[1], slices[6]
    assert (chest[110:145, 60:100] < -600).mean() > 0.6, "a lung on the picture's left"
    assert 60 < np.median(belly[100:140, 65:90]) < 150, "the liver is there further down"
    assert (chest > 300).sum() > 300, "bones"
    assert abs(np.median(chest[5:30, 120:136]) + 1000) < 30, "air in front"
    fat = (belly > -130) & (belly < -60)
    assert fat.sum() > 1500


def test_a_series_of_slices_is_one_person():
    """Neighbours resemble each other more than slices of another person at the same height do, noise aside."""
    one, next_one = (ct_slice(5, index, 40).astype(int) for index in (20, 21))
    assert np.abs(one - next_one).mean() < 40
    assert (ct_slice(5, 0, 4) != ct_slice(6, 0, 4)).mean() > 0.3


def test_an_ultrasound_frame_is_a_sector_with_dark_chambers_and_speckle():
    frame = ultrasound_frame(3, 0)
    assert not frame[200, 60:80].any() and not frame[:17, 200:440].any(), "nothing outside the sector"
    chamber, muscle = frame[170:210, 340:370], frame[240:260, 290:306]
    assert chamber.mean() < 14 < 50 < muscle.mean()
    assert muscle.std() > 15, "speckle"


def test_the_heart_beats_and_comes_back():
    """The chambers are smaller in the middle of the squeeze; a beat later they are as wide as before."""
    dark = [int((ultrasound_frame(3, number)[120:300, 250:420] < 14).sum()) for number in (0, 5, 20)]
    assert dark[1] < dark[0] * 0.7 and abs(dark[2] - dark[0]) < dark[0] * 0.1


def test_an_endoscopy_frame_is_red_with_a_dark_way_ahead_and_glints():
    frame = endoscopy_frame(4, 0).astype(int)
    means = frame[60:420, 130:510].reshape(-1, 3).mean(axis=0)
    assert means[0] > means[1] * 1.3 > means[2] * 1.3
    assert (frame[:, :, 0].min(), frame[0, 0].tolist()) == (4, [4, 4, 4])
    dark = np.argwhere(frame[60:420, 130:510].sum(axis=2) < 120)
    assert len(dark) > 1000 and np.abs(dark.mean(axis=0) - (180, 190)).max() < 90
    assert (frame.min(axis=2) > 205).sum() > 100


def test_the_sine_is_the_sine():
    table = grain.sine()
    assert len(table) == 1024
    assert max(abs(value - 4096 * math.sin(2 * math.pi * angle / 1024)) for angle, value in enumerate(table)) <= 0.51


def test_grain_is_spread_evenly_and_bells_are_bells():
    octets = Grain(1, 2).octets(300, 301)
    assert abs(octets.mean() - 127.5) < 1 and octets.shape == (300, 301)
    bell = Grain(3).bell(200, 200)
    assert abs(bell.mean()) < 2 and 58 < bell.std() < 70 and abs(bell).max() <= 222
    assert {Grain(number).between(2, 5) for number in range(40)} == {2, 3, 4, 5}
