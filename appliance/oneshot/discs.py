"""Commands on discs: make, verify."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError, SettingsError
from appliance.oneshot.place import spool
from appliance.settings import Settings
from appliance.workflow import publish


def disc(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Make a disc of exams, or verify one; returns what --json prints.

    Raises ApplianceError (exit 1) where a disc has faults, which its report lists, and what publish.hand_over raises.
    """
    return _make(settings, root, args) if args.action == "make" else _verify(args)


def _make(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Hand over the exams that were named; SettingsError (exit 2) where nobody said where to."""
    if not args.output:
        raise SettingsError("where to? Name -o OUT.iso or -o DIR")
    with spool(settings, root) as place:
        handout = publish.hand_over(place, args.what, Path(args.output), args.profile)
    return {
        "output": str(handout.folder),
        "profiles": list(handout.profiles),
        "objects": handout.objects,
        "size": handout.size,
        "notes": list(handout.notes),
        "verified": True,
    }


def _verify(args: Namespace) -> dict[str, Any]:
    """Verify each image or folder that was named; all are looked at before any fault is raised."""
    verdicts = {word: publish.verify(Path(word)) for word in args.what}
    result = {
        "discs": [
            {
                "disc": word,
                "objects": verdict.objects,
                "faults": list(verdict.faults),
                "notes": list(verdict.notes),
            }
            for word, verdict in verdicts.items()
        ]
    }
    faults = [f"{word}: {fault}" for word, verdict in verdicts.items() for fault in verdict.faults]
    if faults:
        raise ApplianceError("; ".join(faults), "Do not rely on this disc.").with_report(result)
    return result
