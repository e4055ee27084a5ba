"""Commands that only look: sources, check."""

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance.dicom.check import check as check_object
from appliance.errors import CheckError, InputError
from appliance.settings import Settings
from capture.sources import find_sources


def sources(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Every picture source found, and those the settings name."""
    found = [asdict(one) for one in find_sources()]
    named = [
        {"spec": name, "description": f"settings: {one.spec}", "inputs": [], "formats": []}
        for name, one in settings.sources.items()
    ]
    return {"sources": [{**one, "inputs": list(one["inputs"]), "formats": list(one["formats"])} for one in [*found, *named]]}


def check(settings: Settings, root: Path, args: Namespace) -> dict[str, Any]:
    """Check DICOM files; raises CheckError (exit 1) when one has errors."""
    lines = []
    for word in args.files:
        path = Path(word)
        if not path.is_file():
            raise InputError(f"no such file: {path}", "Nothing was changed.")
        findings = [asdict(one) for one in check_object(path)]
        errors = sum(one["severity"] == "error" for one in findings)
        lines.append({"file": str(path), "errors": errors, "findings": findings})
    result = {"files": lines}
    if any(line["errors"] for line in lines):
        wrong = ", ".join(str(line["file"]) for line in lines if line["errors"])
        words = [one["words"] for line in lines for one in line["findings"] if one["severity"] == "error"]
        raise CheckError(f"{wrong}: {'; '.join(words[:5])}", "Nothing was changed.").with_report(result)
    return result
