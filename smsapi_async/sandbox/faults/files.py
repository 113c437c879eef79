"""Plans as text: JSON or TOML, chosen by the file's suffix."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_mapping(path: Path) -> dict[str, Any]:
    """Parse a `.json` or `.toml` file; `ValueError` for another suffix, bad syntax or no mapping."""
    text = path.read_text("utf-8")
    mapping = json.loads(text) if _is_json(path) else tomllib.loads(text)
    if not isinstance(mapping, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - the file is wrong, not the argument
    return mapping


def write_mapping(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write a `.json` or `.toml` file; `ValueError` for another suffix."""
    text = json.dumps(mapping, indent=2) + "\n" if _is_json(path) else _toml(mapping)
    path.write_text(text, "utf-8")


def _is_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in {".json", ".toml"}:
        raise ValueError(f"a fault plan is a .json or a .toml file, not {path.name!r}")
    return suffix == ".json"


# The standard library reads TOML only. A plan holds numbers, printable ASCII strings, lists of strings, one
# table and one list of tables; for those values JSON's notation is TOML's.
def _toml(mapping: Mapping[str, Any]) -> str:
    lines = _toml_pairs({key: value for key, value in mapping.items() if not _is_table(value)})
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *_toml_pairs(value)]
        elif _is_table(value):
            for table in value:
                lines += ["", f"[[{key}]]", *_toml_pairs(table)]
    return "\n".join(lines) + "\n"


def _toml_pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
    )
