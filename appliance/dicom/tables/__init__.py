"""Tables of PS3.3, generated: the modules of each IOD, the attributes of each module and their types."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

# tag → (type, attributes of the items where it is a sequence)
Tree = dict[int, "tuple[str, Tree]"]


@dataclass(frozen=True)
class Module:
    """One module of an IOD: `usage` is M, C or U; `attributes` by tag."""

    name: str
    usage: str
    attributes: Tree


@dataclass(frozen=True)
class Iod:
    """One IOD: its name in highdicom's spelling, its modules, and every attribute any of them knows."""

    name: str
    modules: tuple[Module, ...]
    known: Tree

    def module(self, name: str) -> Module | None:
        """The module of that name, where this IOD has it."""
        return next((module for module in self.modules if module.name == name), None)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    """The generated document, read once per process."""
    tables: dict[str, Any] = json.loads(Path(__file__).with_name("iods.json").read_text(encoding="utf-8"))
    return tables


def unpaired_regions() -> dict[str, str]:
    """Regions that are no paired structure: SNOMED CT code to meaning."""
    table: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("unpaired.json").read_text(encoding="utf-8"))
    return table["regions"]


@lru_cache(maxsize=256)
def _subtree(number: int) -> Tree:
    """A tree that several attributes share, built once."""
    return _tree(_tables()["subtrees"][number])


def _tree(rows: list[list[Any]]) -> Tree:
    """The rows of generate.Tree by tag."""
    return {int(row[0], 16): (row[1], _subtree(row[2]) if len(row) > 2 else {}) for row in rows}


@lru_cache(maxsize=64)
def _module(name: str) -> Tree:
    """The attributes of a module."""
    return _tree(_tables()["modules"][name])


def classes() -> frozenset[str]:
    """The SOP classes there are tables for."""
    return frozenset(_tables()["iods"])


@lru_cache(maxsize=32)
def iod(sop_class_uid: str) -> Iod | None:
    """The IOD of a SOP class, or None where there are no tables for it."""
    row = _tables()["iods"].get(sop_class_uid)
    if row is None:
        return None
    modules = tuple(Module(name, usage, _module(name)) for name, usage in row["modules"])
    known: Tree = {}
    for module in modules:
        _join(known, module.attributes)
    return Iod(row["name"], modules, known)


def _join(target: Tree, more: Tree) -> None:
    """Take the attributes of one tree into another, sequences item by item."""
    for tag, (kind, children) in more.items():
        before = target.get(tag)
        if before is None:
            target[tag] = (kind, children)
        elif children:
            merged = dict(before[1])
            _join(merged, children)
            target[tag] = (before[0], merged)
