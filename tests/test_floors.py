"""Who may import whom: the floors of docs/architecture.md and the one home of every library, as tables."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room imports only from lower floors; rooms on one floor are strangers to each other.
FLOORS = {
    "capture": 0,
    "appliance.errors": 0,
    "appliance.clinic": 1,
    "appliance.settings": 1,
    "appliance.events": 1,
    "appliance.watchdog": 1,
    "appliance.dicom": 2,
    "appliance.spool": 3,
    "appliance.network": 3,
    "appliance.media": 3,
    "appliance.workflow": 4,
    "appliance.simulator": 5,
    "appliance.ui": 6,
    "appliance.station": 7,
    "appliance.courier": 7,
    "appliance.oneshot": 7,
    "appliance.run": 8,
    "appliance.cli": 9,
}
# Next door: the small hospital. It uses these and floors 0 and 1; only the roots and the door go there.
PEERS = "appliance.peers"
PEERS_MAY_USE = {"appliance.dicom", "appliance.network"}
ROOF = 7

# The rooms that may import a library. One room each; where there are more, the architecture page says why.
HOMES = {
    "av": {"capture"},
    "cv2": {"capture"},
    "linuxpy": {"capture"},
    "gpiozero": {"capture"},
    "sane": {"capture"},
    "PIL": {"capture"},
    "tifffile": {"capture"},
    "pypdf": {"capture"},
    # arrays are what pictures are, from the camera to the pixel data
    "numpy": {"capture", "appliance.dicom", "appliance.simulator", "appliance.workflow"},
    # the codecs of the standard; capture asks it for the JPEGs of the screen
    "imagecodecs": {"appliance.dicom", "capture"},
    "jpeg_ls": {"appliance.dicom"},
    "pydicom": {
        "appliance.dicom",
        "appliance.spool",
        "appliance.network",
        "appliance.media",
        "appliance.workflow",
        "appliance.simulator",
        PEERS,
    },
    # DIMSE, from either side
    "pynetdicom": {"appliance.network", PEERS},
    "sqlite3": {"appliance.spool", PEERS},
    "pycdlib": {"appliance.media"},
    # whatever comes from outside as text is checked on the way in: settings, ledger rows, requests
    "pydantic": {"appliance.settings", "appliance.spool", "appliance.ui"},
    "fastapi": {"appliance.ui", PEERS},
    "starlette": {"appliance.ui", PEERS},
    "uvicorn": {"appliance.ui", PEERS},
    "anyio": {"appliance.ui"},
    # a command asks the running station; later the archive's web side
    "httpx": {"appliance.oneshot", "appliance.network"},
    # generating the tables of dicom.check, by hand; not installed with dicap
    "highdicom": {"appliance.dicom"},
}
# Installed and never imported by us: why
PLUGINS = {
    "pylibjpeg": "pydicom finds its JPEG 2000 decoder through it",
    "pylibjpeg-openjpeg": "that decoder; its encoder is never used",
    "lgpio": "gpiozero's way to the pins, an extra",
    "websockets": "uvicorn speaks WebSocket with it",
}


def modules() -> list[tuple[str, Path]]:
    """Every module of both packages, with its dotted name."""
    found = []
    for package in ("capture", "appliance"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def room_of(module: str) -> str:
    """The longest name of the tables that the module lies under; the package's own __init__ is in no room."""
    for room in sorted([*FLOORS, PEERS], key=len, reverse=True):
        if module == room or module.startswith(room + "."):
            return room
    return ""


def imports(text: str, module: str, is_package: bool) -> set[str]:
    """Everything a module imports: at its top, inside functions, relatively, by import_module, for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, base]) if base else ".".join(above)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__", "find_spec") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def may(room: str, goal: str) -> bool:
    """Whether a module of `room` may import from `goal`."""
    if room == PEERS:
        return goal in PEERS_MAY_USE or FLOORS[goal] <= 1
    if goal == PEERS:
        return FLOORS[room] >= ROOF
    return FLOORS[goal] < FLOORS[room]


def wrong_imports(module: str, targets: set[str]) -> set[str]:
    """What a module imports against the tables, in words."""
    room = room_of(module)
    wrong = set()
    for target in targets:
        goal = room_of(target)
        if goal and goal != room and not (room and may(room, goal)):
            wrong.add(f"{module} imports {goal}: it lies on the same floor, above, or next door")
        top = target.split(".")[0]
        if top in HOMES and room not in HOMES[top]:
            wrong.add(f"{module} imports {top}, whose home is {' and '.join(sorted(HOMES[top]))}")
        if top not in (*HOMES, "appliance", "capture", "") and top not in sys.stdlib_module_names:
            wrong.add(f"{module} imports {top}, which has no home: give it one in tests/test_floors.py")
    return wrong


ALL = modules()
IMPORTS = {name: imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py") for name, path in ALL}


def test_every_module_lies_in_a_room():
    outside = [name for name, _ in ALL if not room_of(name) and name != "appliance"]
    assert outside == []


@pytest.mark.parametrize("package", ["capture", "appliance"])
def test_imports_go_down_and_libraries_stay_at_home(package):
    chosen = {name: targets for name, targets in IMPORTS.items() if name.split(".")[0] == package}
    wrong = {line for name, targets in chosen.items() for line in wrong_imports(name, targets)}
    assert wrong == set(), "\n".join(sorted(wrong))


@pytest.mark.parametrize(
    ("module", "targets"),
    [
        ("capture.tap", {"appliance.errors"}),
        ("appliance.errors", {"capture.source"}),
        ("appliance.settings", {"appliance.clinic.order"}),
        ("appliance.spool.shelf", {"appliance.network.pacs"}),
        ("appliance.network.pacs", {"appliance.workflow"}),
        ("appliance.workflow.deliver", {"appliance.peers.ris"}),
        ("appliance.peers.ris", {"appliance.spool.ledger"}),
        ("appliance.station", {"appliance.courier"}),
        ("appliance", {"appliance.cli"}),
        ("appliance.ui.api", {"pydicom"}),
        ("appliance.network.pacs", {"sqlite3"}),
        ("appliance.dicom.pixels", {"cv2"}),
        ("appliance.media.disc", {"requests"}),
    ],
)
def test_the_tables_refuse_what_the_house_forbids(module, targets):
    assert wrong_imports(module, targets)


def test_every_way_of_importing_is_seen():
    text = "import a.b\nfrom .c import d\nfrom .. import e\ndef f():\n    import g\n    import_module('h.i')\n"
    assert imports(text, "room.sub.module", False) == {
        "a.b", "room.sub.c", "room.sub.c.d", "room", "room.e", "g", "h.i",
    }  # fmt: skip


def test_capture_knows_nothing_of_the_standard():
    said = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "capture").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search("dicom", line, re.I)
    ]
    assert said == []


def plain(name: str) -> str:
    """A distribution's name as registries compare it, without version and marker."""
    return re.split(r"[ ;<>=!~\[]", name)[0].lower().replace("_", "-")


def test_what_is_imported_is_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = {plain(word) for word in [*project["dependencies"], *extras["gpio"], *extras["tables"]]}
    used = {target.split(".")[0] for targets in IMPORTS.values() for target in targets}
    owners = {top: {plain(name) for name in names} for top, names in metadata.packages_distributions().items()}
    # these two come with fastapi, which is written against exactly them
    carried = {"starlette", "anyio"}
    assert {top for top in (used & set(HOMES)) - carried if top in owners and not owners[top] & asked} == set()
    # the makers of the tables need highdicom; make test does not install it
    imported = {name for top in used for name in owners.get(top, set())} | {"highdicom"}
    assert asked - imported - set(PLUGINS) == set(), "asked for and never imported: a home, a reason, or out with it"


def test_every_package_is_pinned():
    pins = [line.strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
    pins = [line for line in pins if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = [*project["dependencies"], *(word for extra in project["optional-dependencies"].values() for word in extra)]
    assert {plain(word) for word in words} - {plain(line) for line in pins} == set()
