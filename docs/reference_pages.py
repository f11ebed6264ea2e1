"""Writes docs/reference: commands, passes with their options, and schemas of files, from the code.

Usage: python docs/reference_pages.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from passes.registry import BUILTIN
from qtool.cli.main import app
from qtool.cli.passes import pass_document
from qtool.documents import DOCUMENTS
from qtool.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "reference"
SCHEMAS = """# Schemas of files

{note}
JSON Schema (draft 2020-12) of what the tool reads and writes. Later versions may add keys where a schema
leaves them open; where a key changes its meaning, `schema_version` rises. Accuracies and shares are fractions
from 0 to 1; other units are in the names of keys.

{table}
Editors that know schemas complete qtool.toml by `qtool-toml`; a key that it does not name is an error there.
`qtool.documents` has the same as types of Python.
"""
NOTE = "Written by `python docs/reference_pages.py` from the code.\n"


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    pages = {"commands.md": commands_page(), "passes.md": passes_page(), "schemas.md": schemas_page()}
    return pages | {f"schemas/{name}.json": schema_text(name) for name in DOCUMENTS}


def commands_page() -> str:
    """Return every command with its arguments and options."""
    parts = ["# Commands\n", NOTE]
    for words, command in _commands(typer.main.get_command(app), ("qtool",)):
        parts += [f"## `{' '.join(words)}`\n", _paragraphs(command.help), f"{command.epilog or ''}\n"]
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        parts.append(_table(("name", "default", "meaning"), rows))
    return "\n".join(parts)


def passes_page() -> str:
    """Return every built-in pass with its options."""
    parts = [
        "# Passes\n",
        NOTE,
        "A pipeline names passes by commas, with options in braces: `equalize{iterations=20}`.\n",
    ]
    for name, _ in BUILTIN:
        document = pass_document(name)
        parts += [f"## `{name}`\n", _paragraphs(document["does"])]
        rows = [
            (f"`{it['option']}`", it["kind"], _code(it["default"]), it["meaning"] or "")
            for it in document["options"]
        ]
        if rows:
            parts.append(_table(("option", "value", "default", "meaning"), rows))
    return "\n".join(parts)


def schemas_page() -> str:
    """Return the list of schemas."""
    rows = [
        (f"[{name}](schemas/{name}.json)", json.loads(schema_text(name))["description"]) for name in DOCUMENTS
    ]
    return SCHEMAS.format(note=NOTE, table=_table(("schema", "of"), rows))


def schema_text(name: str) -> str:
    """Return the schema of a document as JSON; files that people write have no other keys than theirs."""
    schema = json_schema(DOCUMENTS[name], closed=name == "qtool-toml")
    return json.dumps(schema, indent=1) + "\n"


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name), command


def _parameter(parameter: Any) -> tuple[str, str, str]:
    option = parameter.param_type_name == "option"
    names = ", ".join(f"`{name}`" for name in parameter.opts) if option else f"`{parameter.name.upper()}`"
    shown = parameter.default if option and not parameter.required else None
    default = "" if shown is None or shown is False else _code(str(shown))
    return names, "required" if parameter.required else default, parameter.help or ""


def _code(value: str | None) -> str:
    return f"`{value}`" if value else ""


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n")) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(it) for it in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    (FOLDER / "schemas").mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
