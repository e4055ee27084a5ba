"""What can go wrong: each error says whether to try again, what is safe, and with which exit code a command ends."""

import pytest

from appliance import errors
from capture import source

OURS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
CAPTURES = [kind for kind in vars(source).values() if isinstance(kind, type) and issubclass(kind, source.CaptureError)]


@pytest.mark.parametrize(
    ("kind", "exit_code", "retry"),
    [
        (errors.ApplianceError, 1, False),
        (errors.SettingsError, 2, False),
        (errors.IllegalPair, 2, False),
        (errors.InputError, 1, False),
        (errors.CheckError, 1, False),
        (errors.SpoolError, 1, False),
        (errors.DiskFull, 1, False),
        (errors.StateError, 1, False),
        (errors.PeerError, 3, True),
        (errors.Unreachable, 3, True),
        (errors.Broken, 3, True),
        (errors.Refused, 3, False),
        (errors.Busy, 3, True),
        (errors.NeedsTranscoding, 3, False),
        (errors.PartlyFailed, 4, False),
    ],
)
def test_each_error_has_the_exit_code_and_the_patience_that_are_written_down(kind, exit_code, retry):
    error = kind("what happened")
    assert (error.exit_code, error.retry) == (exit_code, retry)
    assert str(error) == "what happened"


@pytest.mark.parametrize("kind", [*OURS, *CAPTURES])
def test_each_error_advises_in_a_whole_sentence_and_takes_better_advice(kind):
    assert kind("what").advice.endswith(".")
    assert kind("what", "do this").advice == "do this"
    assert kind("what").advice != "do this"


@pytest.mark.parametrize(("module", "kinds"), [(errors, OURS), (source, CAPTURES)])
def test_the_tree_that_is_drawn_is_the_tree_that_is(module, kinds):
    drawn = module.__doc__
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawn] == []
    words = {line.split("──", 1)[1].split()[0] for line in drawn.splitlines() if "──" in line}
    assert words <= {kind.__name__ for kind in kinds}
