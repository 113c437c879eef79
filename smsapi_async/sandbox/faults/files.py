"""Reads and writes fault plans as JSON or TOML. The suffix of the file determines the format."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a `.json` or `.toml` file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the suffix is neither `.json` nor `.toml`, if the syntax is wrong, or if the content is
            not a mapping.
    """
    text = path.read_text("utf-8")
    mapping = json.loads(text) if _is_json(path) else tomllib.loads(text)
    if not isinstance(mapping, dict):
        raise ValueError("the content is not a JSON object")  # noqa: TRY004 - the content of the file is wrong
    return mapping


def write_mapping(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write a `.json` or `.toml` file.

    Raises:
        OSError: if the file cannot be written.
        ValueError: if the suffix is neither `.json` nor `.toml`.
    """
    text = json.dumps(mapping, indent=2) + "\n" if _is_json(path) else tomli_w.dumps(mapping)
    path.write_text(text, "utf-8")


def _is_json(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in {".json", ".toml"}:
        raise ValueError(f"a fault plan is a .json or a .toml file, not {path.name!r}")
    return suffix == ".json"
