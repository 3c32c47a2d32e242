"""Layers of parameter files: `extends`, later files, and who said what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stagebook.errors import ConfigError, did_you_mean
from stagebook.params import yaml_file
from stagebook.params.yaml_file import Document, Key

SUFFIXES = ("", ".yaml", ".yml")


@dataclass
class Merged:
    """The values that win, and for each key where it was written (`file:line`)."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, str] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """The place of a key, or of the nearest mapping around it that stands in a file."""
        while key not in self.places and key:
            key = key[:-1]
        return self.places.get(key, "parameters")

    def put(self, key: Key, value: Any, place: str) -> None:
        """Set one value, making the mappings around it."""
        inner: Any = self.values
        for name in key[:-1]:
            inner = inner.setdefault(name, {})
        inner[key[-1]] = value
        self.places = {other: at for other, at in self.places.items() if other[: len(key)] != key} | {key: place}

    def drop(self, key: Key) -> None:
        """Forget one value; nothing happens where it is not set."""
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
    """All files that the names stand for, with what they extend, merged; and their paths in that order.

    Mappings merge key by key, everything else is replaced; later files win.

    Raises:
        ConfigError: if a name finds no file, or files extend each other in a circle.
    """
    merged, files = Merged(), []
    for name in names:
        for path, document in _with_bases(find(name, cwd), (), cwd):
            document.values.pop("extends", None)
            overlay(merged, document)
            files.append(path)
    return merged, files


def find(name: str, cwd: Path, *, folder: str = "params", flag: str = "--params") -> Path:
    """The parameter file of a path, or of a name that is looked up in `params/` (or another folder) here or above.

    Args: flag: what the name was given by, for the message.
    Raises:
        ConfigError: with the names that exist.
    """
    folders = [cwd, *(parent / folder for parent in (cwd, *cwd.parents))]
    for place in folders:
        for suffix in SUFFIXES:
            if (path := place / f"{name}{suffix}").is_file():
                return path.resolve()
    known = sorted({path.name for place in folders[1:] if place.is_dir() for path in place.glob("*.y*ml")})
    hint = did_you_mean(name, [Path(other).stem for other in known] + known)
    raise ConfigError(
        f"{flag}: there is no parameter file '{name}'.{hint}\n"
        f"  looked in {cwd} and in {folder}/ there and above; found: {', '.join(known) or 'none'}"
    )


def _with_bases(path: Path, above: tuple[Path, ...], cwd: Path) -> list[tuple[Path, Document]]:
    """A parameter file and what it extends, the lowest first; each file is parsed once."""
    if path in above:
        raise ConfigError(
            "parameter files extend each other in a circle: " + " → ".join(p.name for p in (*above, path))
        )
    document = yaml_file.read(path, shown(path, cwd))
    base = document.values.get("extends")
    if base is None:
        return [(path, document)]
    place = f"{path}:{document.lines[('extends',)]}"
    if not isinstance(base, str):
        raise ConfigError(f"{place}: extends: {base!r} is not the name of one file.")
    target = (path.parent / base).resolve()
    if not target.is_file():
        known = sorted(other.name for other in path.parent.glob("*.y*ml") if other != path)
        raise ConfigError(
            f"{place}: extends: there is no file '{base}' in {path.parent}.{did_you_mean(base, known)}\n"
            f"  found: {', '.join(known) or 'none'}"
        )
    return [*_with_bases(target, (*above, path), cwd), (path, document)]


def overlay(merged: Merged, document: Document) -> None:
    """Lay one document over what was merged before it."""
    _overlay(merged.values, document.values)
    for key, line in document.lines.items():
        merged.places[key] = f"{document.path}:{line}"


def _overlay(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    for name, value in upper.items():
        if isinstance(value, dict) and isinstance(lower.get(name), dict):
            _overlay(lower[name], value)
        else:
            lower[name] = value


def shown(path: Path, cwd: Path) -> str:
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
