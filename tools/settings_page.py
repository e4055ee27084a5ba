#!/usr/bin/env python3
"""Writes docs/settings.md from the settings tree: `tools/settings_page.py FILE`, or to standard output."""

import sys
import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from appliance.settings import Settings

HEAD = """# Settings

One TOML file. `dicap` looks for it in this order: `--config FILE`, `$DICAP_CONFIG`, `./dicap.toml`,
`/etc/dicap/dicap.toml`; with none of them the built-in settings fit the demo hospital (`dicap hospital`). What a file
does not say keeps its default. All mistakes of a file are named at once, with the nearest right name; nothing is guessed.

This page is written by `make docs` from `appliance/settings.py`, and a test holds the two together.

```toml
[station]
ae_title = "DICAP"            # also the courier's
modality = "ES"
source = "theatre"            # a --source word, or a name from [sources]

[sources.theatre]
spec = "/dev/video0"
still_syntax = "jls"

[courier]
listen = "0.0.0.0:11113"      # so that an archive elsewhere can report what it has committed

[peers.ris]
address = "RIS@10.0.0.4:104"
roles = ["worklist", "mpps"]

[peers.pacs]
address = "PACS@10.0.0.5:104"
roles = ["store", "commit"]
release = "committed"         # committed | stored | never
```
"""
# tables with names of the user's own choosing
NAMED = {"sources": "[sources.NAME]", "peers": "[peers.NAME]"}
LIMITS = {
    "ge": ", from {:g}",
    "gt": ", above {:g}",
    "le": ", to {:g}",
    "lt": ", below {:g}",
    "max_length": ", at most {} characters",
}


def main() -> int:
    """Write the page to the file named on the command line, or print it."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
    return 0


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        branch = _branch(field.annotation)
        if branch is None:
            raise SystemExit(f"{name}: a setting outside every table; this page has no place for it yet")
        title = NAMED.get(name, f"[{name}]")
        parts.append(f"\n## `{title}`\n\n{_words(field, branch)}{_named(field)}\n\n{_table(branch)}")
        parts += [
            f"\n### `{title[:-1]}.{inner}]`\n\n{_words(one, below)}\n\n{_table(below)}"
            for inner, one in branch.model_fields.items()
            if (below := _branch(one.annotation)) is not None
        ]
    return "".join(parts)


def _words(field: FieldInfo, branch: type[BaseModel]) -> str:
    return field.description or " ".join((branch.__doc__ or "").split())


def _named(field: FieldInfo) -> str:
    """What stands in a table of named tables while the file has none of its own."""
    default = field.get_default(call_default_factory=True)
    if not isinstance(default, dict) or not default:
        return ""
    shown = []
    for name, one in default.items():
        given = one.model_dump(exclude_defaults=True)
        shown.append(f"`{name}` (" + ", ".join(f"`{word} = {_toml(value)}`" for word, value in given.items()) + ")")
    return " Without any in the file: " + " and ".join(shown) + "."


def _table(branch: type[BaseModel]) -> str:
    rows = ["| setting | takes | default | |", "|---|---|---|---|"]
    for name, field in branch.model_fields.items():
        if _branch(field.annotation) is None:
            default = (
                "*must be given*" if field.is_required() else f"`{_toml(field.get_default(call_default_factory=True))}`"
            )
            rows.append(f"| `{name}` | {_kind(field.annotation, field)} | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _branch(kind: object) -> type[BaseModel] | None:
    """The table that a field's type is, or is made of: Branch, Branch | None, dict[str, Branch]."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    for part in typing.get_args(kind):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _kind(kind: object, field: FieldInfo) -> str:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{_toml(word)}`" for word in typing.get_args(kind))
    if origin in (tuple, list):
        return "list of " + _kind(typing.get_args(kind)[0], field)
    if origin is typing.Annotated:
        return _kind(typing.get_args(kind)[0], field)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part, field) for part in typing.get_args(kind) if part is not type(None))
    words = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`"}.get(
        typing.cast(type, kind), str(kind)
    )
    for limit in field.metadata:
        for word, said in LIMITS.items():
            if getattr(limit, word, None) is not None:
                words += said.format(getattr(limit, word))
    return words


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.exit(main())
