"""The limits we hold ourselves to (docs/architecture.md), counted from the text of the code."""

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("capture", "appliance") for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
VAGUE = re.compile(r"(manager|helper|utils?|common|misc|service|stuff|data|info)$", re.I)
LONGEST_MODULE, MEDIAN_MODULE = 400, 150
LONGEST_FUNCTION, MOST_PARAMETERS = 60, 6


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


TREES = {path: ast.parse(text_of(path)) for path in SOURCES}
FUNCTIONS = [
    (path, node)
    for path, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
]


def place(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f"{name_of(path)}:{node.lineno} {node.name}"


def tracked() -> list[Path]:
    """The files that belong to the project: tracked, or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_module_is_too_long():
    lines = {name_of(path): text_of(path).count("\n") for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}
    assert statistics.median([count for name, count in lines.items() if not name.endswith("__init__.py")]) <= MEDIAN_MODULE


def test_no_function_is_too_long_or_asks_for_too_much():
    long = [place(path, node) for path, node in FUNCTIONS if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION]
    assert len(long) <= len(FUNCTIONS) * 0.02, long
    wide = []
    for path, node in FUNCTIONS:
        given = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        if len([one for one in given if one not in ("self", "cls")]) > MOST_PARAMETERS:
            wide.append(place(path, node))
    assert wide == []


def test_every_return_type_is_written_down():
    assert [place(path, node) for path, node in FUNCTIONS if node.returns is None] == []


def test_every_module_says_in_three_lines_what_lives_there():
    wrong = []
    for path, tree in TREES.items():
        said = ast.get_docstring(tree)
        # the tree of errors is drawn in its module's docstring
        drawn = said is not None and "├──" in said
        if not said or (said.count("\n") > 2 and not drawn):
            wrong.append(name_of(path))
    assert wrong == []


def test_docstrings_are_neither_missing_nor_the_whole_text():
    lines = sum(text_of(path).count("\n") for path in SOURCES)
    said = 0
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                words = ast.get_docstring(node, clean=False)
                said += words.count("\n") + 1 if words else 0
    assert 0.12 <= said / lines <= 0.20


def test_names_say_what_a_thing_is():
    vague = [name_of(path) for path in SOURCES if VAGUE.search(path.stem)]
    for path, tree in TREES.items():
        vague += [
            f"{name_of(path)}: {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and VAGUE.search(node.name)
        ]
    assert vague == []


def test_nothing_is_left_unfinished_or_swallowed():
    smells = []
    for path, node in FUNCTIONS:
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplemented" in ast.dump(body[0]):
            smells.append(f"{place(path, node)}: not implemented")
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                everything = node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")
                if everything and (node.type is None or all(isinstance(line, ast.Pass) for line in node.body)):
                    smells.append(f"{name_of(path)}:{node.lineno}: swallows every error")
        for token in tokenize.generate_tokens(io.StringIO(text_of(path)).readline):
            if token.type == tokenize.COMMENT and re.search(r"\b(TODO|FIXME|XXX|HACK)\b", token.string):
                smells.append(f"{name_of(path)}:{token.start[0]}: {token.string}")
    assert smells == []


CONFIGURED = """
import importlib, sys
import av.logging, cv2, pydicom.config, pynetdicom._config
def settings():
    told = {f"pydicom.{name}": repr(value) for name, value in vars(pydicom.config).items() if not callable(value)}
    told |= {f"pynetdicom.{name}": repr(value) for name, value in vars(pynetdicom._config).items() if not callable(value)}
    return told | {"av": repr(av.logging.get_level()), "cv2": repr(cv2.getNumThreads())}
before = settings()
for name in sys.argv[1:]:
    importlib.import_module(name)
after = settings()
print(*(f"{name}: {before.get(name)} became {after[name]}" for name in after if after[name] != before.get(name)), sep="\\n")
"""


def test_importing_us_configures_no_library():
    names = [".".join(part for part in Path(name_of(path)).with_suffix("").parts if part != "__init__") for path in SOURCES]
    # dicom.tables.generate reads highdicom, which is not installed with dicap
    names = [name for name in names if "tables.generate" not in name and not name.endswith("__main__")]
    done = subprocess.run([sys.executable, "-c", CONFIGURED, *names], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_no_test_is_skipped_or_expected_to_fail():
    # put together from pieces, so that this line does not find itself
    mark = re.compile(r"(pytest\.(sk" + r"ip|importorskip|xf" + r"ail)\(|mark\.(sk" + r"ip|skipif|xf" + r"ail)\b)")
    found = [
        f"{name_of(path)}:{number}"
        for path in TESTS
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if mark.search(line)
    ]
    assert found == []


def test_every_test_can_fail():
    """Each one asserts, or expects an error, or calls something in its room that does."""
    empty = []
    for path in TESTS:
        tree = ast.parse(text_of(path))
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        claims = {node.name for node in defined if any(isinstance(one, ast.Assert) for one in ast.walk(node))}
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test"):
                continue
            words = ast.unparse(node)
            called = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
            calls = {getattr(one, "id", getattr(one, "attr", "")) for one in called}
            if not (re.search(r"\bassert|raises|check|expect|demand|until", words) or calls & claims):
                empty.append(f"{name_of(path)}:{node.lineno} {node.name}")
    assert empty == []


def test_no_file_names_a_registry_or_this_machine():
    # put together from pieces, so that this file names none of them
    hosts = "|".join(
        ("py" + r"pi\.org", "python" + r"hosted\.org", r"registry\.npm" + "js", r"deb\.deb" + r"ian\.org", "/wo" + "rk/")
    )
    named = []
    for path in tracked():
        if path.stat().st_size < 1_000_000:
            try:
                lines = text_of(path).splitlines()
            except UnicodeDecodeError:
                continue
            named += [f"{name_of(path)}:{number}" for number, line in enumerate(lines, 1) if re.search(hosts, line)]
    assert named == []


def test_no_page_fetches_anything_from_elsewhere():
    """Screens are served by the appliance alone: no address of another machine in what a browser is given."""
    reach = re.compile(
        r"""(src|href|url|import)\s*[=(]?\s*["'(]?\s*(https?:)?//(?!127\.0\.0\.1|localhost|www\.w3\.org)""", re.I
    )
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked()
        if path.suffix in (".html", ".css", ".js", ".svg") and path.is_relative_to(ROOT / "appliance")
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if reach.search(line)
    ]
    assert found == []


def test_scripts_can_be_run():
    scripts = [ROOT / ".ci" / "run", *(ROOT / "tools").glob("*")]
    plain = [path for path in scripts if path.is_file() and text_of(path).startswith("#!")]
    assert len(plain) >= 7
    assert [name_of(path) for path in plain if not path.stat().st_mode & 0o100] == []


def test_every_package_that_is_installed_is_named_in_the_notice():
    pins = text_of(ROOT / "constraints.txt").partition('# the extra "test"')[0]
    notice = text_of(ROOT / "NOTICE")
    missing = [
        name for name in re.findall(r"^([\w.-]+)==", pins, re.M) if not re.search(rf"(?<![\w-]){name}(?![\w-])", notice)
    ]
    assert missing == []
    # the two facts that bind whoever passes an installation on
    assert "libx264" in notice
    assert "LGPL-2.1" in notice


def test_the_licence_is_the_whole_text():
    text = text_of(ROOT / "LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text.splitlines()) > 190


def test_every_link_in_a_page_leads_somewhere():
    pages = [path for path in tracked() if path.suffix == ".md"]
    assert len(pages) >= 6
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            if not re.match(r"https?:|#", target) and not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{name_of(page)}: {target}")
    assert broken == []


def test_the_architecture_page_names_every_room():
    page = text_of(ROOT / "docs" / "architecture.md")
    rooms = {path.stem for path in (ROOT / "appliance").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"}
    assert {room for room in rooms if f"`{room}`" not in page} - {"__init__"} == set()
