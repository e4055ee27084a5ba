"""UIDs are legal, fresh in the clinic, and the same again in a simulation."""

import pytest

from appliance.dicom import uids
from appliance.errors import SettingsError

ROOT = "1.2.826.0.1.3680043.10.511"


def test_a_new_uid_is_legal_and_never_the_same():
    """Under 2.25 and under a root of our own (PS3.5 9.1)."""
    for root in ("", ROOT):
        some = {uids.new(root) for _ in range(500)}
        assert len(some) == 500
        assert all(uids.is_legal(uid) and uid.startswith(f"{root or '2.25'}.") for uid in some)


def test_a_uid_under_2_25_is_a_random_uuid():
    """PS3.5 B.2: the UUID as one decimal number, of the random kind."""
    number = int(uids.new().removeprefix("2.25."))
    assert number < 1 << 128
    assert number >> 76 & 0xF == 4


def test_a_seed_repeats_the_same_uids():
    """Whatever the seed's type; other seeds give other UIDs."""
    first, again, other = uids.Seeded(7), uids.Seeded("7"), uids.Seeded(8)
    some = [first.new() for _ in range(20)]
    assert some == [again.new() for _ in range(20)]
    assert len({*some, *(other.new() for _ in range(20))}) == 40
    assert all(uids.is_legal(uid) for uid in some)


def test_a_named_uid_does_not_depend_on_what_was_asked_before():
    """One per role, and never one of the sequence."""
    first, again = uids.Seeded(7), uids.Seeded(7)
    sequence = {again.new() for _ in range(50)}
    assert first.named("study", 3) == again.named("study", 3) not in sequence
    assert first.named("study", 3) != first.named("study", 4) != first.named("series", 4)


def test_a_long_root_leaves_room_or_is_refused():
    """64 characters in all; fewer than 20 random digits would collide."""
    root = "1.2." + "9" * 39
    assert len(uids.Fresh(root).new()) <= 64
    assert len(uids.Seeded(1, root).new()) <= 64
    with pytest.raises(SettingsError, match="uid_root"):
        uids.Fresh(root + "9")
    with pytest.raises(SettingsError, match="uid_root"):
        uids.new("1.02.3")


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1..2", "1.02", "1.2a", "1.2 ", "1." + "2" * 63])
def test_what_is_not_a_uid(text):
    """Leading zeros, empty components, letters, more than 64 characters."""
    assert not uids.is_legal(text)
