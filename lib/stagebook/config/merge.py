"""Layers of parameter files: `extends`, later files, and where each value was written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagebook.config import yaml_file
from stagebook.config.yaml_file import Document, Key
from stagebook.errors import ConfigError, did_you_mean

SUFFIXES = ("", ".yaml", ".yml")


@dataclass
class Merged:
    """The values that win, and for each key the location where it was written (`file:line`)."""

    values: dict[str, Any] = field(default_factory=dict)
    locations: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """The location of a key, or of the nearest mapping around it that was written in a file."""
        while key not in self.locations and key:
            key = key[:-1]
        return self.locations.get(key, "parameters")

    def put(self, key: Key, value: Any, location: str) -> None:
        """Set one value, and create the mappings around it."""
        inner: Any = self.values
        for name in key[:-1]:
            inner = inner.setdefault(name, {})
        inner[key[-1]] = value
        outside = {path: where for path, where in self.locations.items() if path[: len(key)] != key}
        self.locations = outside | {key: location}

    def drop(self, key: Key) -> None:
        """Remove one value; nothing happens if it is not set."""
        inner: Any = self.values
        for name in key[:-1]:
            try:
                inner = inner[name]
            except (KeyError, IndexError, TypeError):
                return
        if isinstance(inner, dict):
            inner.pop(key[-1], None)
        elif isinstance(inner, list) and isinstance(key[-1], int) and key[-1] < len(inner):
            del inner[key[-1]]


def read_layers(names: Sequence[str], cwd: Path) -> tuple[Merged, list[Path]]:
    """The named files and those that they extend, merged; and their paths in that order.

    Mappings merge key by key, everything else is replaced; later files win.

    Raises:
        ConfigError: if there is no file of a name, or files extend each other in a circle.
    """
    merged, files = Merged(), []
    for name in names:
        for path, document in _with_bases(find_file(name, cwd), (), cwd):
            document.values.pop("extends", None)
            overlay(merged, document)
            files.append(path)
    return merged, files


def find_file(name: str, cwd: Path, *, folder: str = "params", asker: str = "") -> Path:
    """The parameter file at a path, or with a name in `folder`, which is looked up in `cwd` and its parents.

    Args: asker: who asks for the file, as the beginning of the message, such as a flag.
    Raises:
        ConfigError: if there is no such file, with the names that exist.
    """
    folders = [cwd, *(parent / folder for parent in (cwd, *cwd.parents))]
    for directory in folders:
        for suffix in SUFFIXES:
            if is_file(path := directory / f"{name}{suffix}"):
                return path.resolve()
    files = sorted({path.name for directory in folders[1:] if directory.is_dir() for path in directory.glob("*.y*ml")})
    hint = did_you_mean(name, [Path(file).stem for file in files] + files)
    raise ConfigError(
        f"{f'{asker}: ' if asker else ''}there is no parameter file '{name}'.{hint}\n"
        f"  looked in {cwd} and in {folder}/ there and above; found: {', '.join(files) or 'none'}"
    )


def is_file(path: Path) -> bool:
    """Whether there is such a file; no path is too long, or too odd, to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _with_bases(path: Path, extending: tuple[Path, ...], cwd: Path) -> list[tuple[Path, Document]]:
    """A parameter file and those that it extends, the lowest first; each file is parsed once."""
    if path in extending:
        circle = " → ".join(file.name for file in (*extending, path))
        raise ConfigError(f"parameter files extend each other in a circle: {circle}")
    document = yaml_file.read(path, display_path(path, cwd))
    base = document.values.get("extends")
    if base is None:
        return [(path, document)]
    where = f"{path}:{document.lines[('extends',)]}"
    if not isinstance(base, str):
        raise ConfigError(f"{where}: extends: {base!r} is not the name of one file.")
    target = (path.parent / base).resolve()
    if not is_file(target):
        files = sorted(file.name for file in path.parent.glob("*.y*ml") if file != path)
        raise ConfigError(
            f"{where}: extends: there is no file '{base}' in {path.parent}.{did_you_mean(base, files)}\n"
            f"  found: {', '.join(files) or 'none'}"
        )
    return [*_with_bases(target, (*extending, path), cwd), (path, document)]


def overlay(merged: Merged, document: Document) -> None:
    """Lay one document over the values merged before it."""
    _overlay(merged.values, document.values)
    for key, line in document.lines.items():
        merged.locations[key] = f"{document.path}:{line}"


def _overlay(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    for name, value in upper.items():
        if isinstance(value, dict) and isinstance(lower.get(name), dict):
            _overlay(lower[name], value)
        else:
            lower[name] = value


def display_path(path: Path, cwd: Path) -> str:
    """The path as messages name it: relative to `cwd` if it is below."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
