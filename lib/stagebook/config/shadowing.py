"""Files beside a notebook that hide a library from it and its neighbours: `polars.py`, `random.py`."""

import importlib.machinery
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from stagebook.errors import ConfigError
from stagebook.notebooks.cells import imported_modules
from stagebook.notebooks.outline import outline

_NEVER_IMPORTED = {"test", "this", "antigravity", "idlelib", "turtledemo", *sys.builtin_module_names}
_STANDARD = sys.stdlib_module_names - _NEVER_IMPORTED
_OWN = "stagebook"


def hidden_libraries(notebooks: Iterable[Path]) -> Iterator[str]:
    """A warning for each file or package in a notebooks' folder that has the name of a library.

    A module of Python's own is reported in any case, since other libraries may import it; a package if a notebook in
    the folder imports it.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in notebooks:
        by_folder.setdefault(path.parent, []).append(path)
    for folder, paths in by_folder.items():
        hidden = {entry: _library(entry.stem, folder) for entry in _modules(folder)}
        suspects = {entry: library for entry, library in hidden.items() if library is not None}
        imported = _imported(paths) if suspects else set[str]()
        for entry, library in suspects.items():
            if entry.stem in imported or entry.stem in _STANDARD:
                yield f"{entry} hides {library} from the notebooks in its folder: rename it."


def _modules(folder: Path) -> list[Path]:
    """What Python would import from a folder: files, and folders that are packages."""
    if not folder.is_dir():
        return []
    entries = [entry for entry in sorted(folder.iterdir()) if entry.stem.isidentifier() and entry.stem != _OWN]
    return [entry for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()]


def _library(name: str, folder: Path) -> str | None:
    """The library of this name that Python finds elsewhere, in words; None if there is none."""
    if name in _STANDARD:
        return f"Python's module '{name}'"
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != folder.resolve()]
    spec = importlib.machinery.PathFinder.find_spec(name, path)
    return None if spec is None or spec.origin is None else f"the package '{name}'"


def _imported(notebooks: Iterable[Path]) -> set[str]:
    """The top-level names that notebooks import."""
    names: set[str] = set()
    for path in notebooks:
        try:
            cells = [cell for cell in outline(path).cells if cell.kind == "code"]
        except ConfigError:
            continue  # it is a finding
        names |= {module.partition(".")[0] for cell in cells for module in imported_modules(cell.source)}
    return names
