"""The project's own modules that imports reach, directly or through others, wherever an import stands.

Installed packages are not followed: the environment stands for them. Of a module, what it does counts
(its syntax tree), and so do all files beside the code in its package that are no Python, as they are.
"""

import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagebook.code.cache import SourceCache
from stagebook.code.source import Import, Source, digest_of

LARGEST_DATA_BYTES = 64 * 1024**2
_NO_DATA = (".py", ".pyc", ".pyi", ".ipynb", ".md")


@dataclass(frozen=True)
class Reached:
    """What a notebook stands on: name → digest (`flightdelay.features`, `pkg/data.csv`), and texts like file names.

    `imported` are the top names that the notebook and the project's modules import, `stagebook`'s own left out; None
    where one of them computes a name.
    """

    modules: Mapping[str, str]
    files: tuple[str, ...]
    imported: frozenset[str] | None


class Reach:
    """Looks modules up below `roots` (folders as in `sys.path`). What it has read once it does not read again."""

    def __init__(self, roots: Sequence[Path], cache: SourceCache) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self._cache = cache
        self._sources: dict[Path, Source] = {}
        self._data: dict[Path, dict[str, str]] = {}
        self._trees: dict[Path, _Tree] = {}
        self._known: dict[tuple[Source, Path], Reached] = {}

    def of(self, notebook: Source, folder: Path) -> Reached:
        """Everything of the project that a notebook in `folder` reaches."""
        if (notebook, folder) not in self._known:
            tree = self._trees.setdefault(folder, _Tree((folder, *self.roots), self._source))
            self._known[notebook, folder] = self._reached(notebook, tree)
        return self._known[notebook, folder]

    def _reached(self, notebook: Source, tree: "_Tree") -> Reached:
        found: dict[str, Path] = {}
        todo = tree.targets(notebook, "")
        while todo:
            name, path = todo.pop()
            if name not in found:
                found[name] = path
                todo += tree.imported_by(name, path)
        if notebook.dynamic:
            for name in {name.partition(".")[0] for name in found}:
                found |= dict(tree.below(name))
        modules = {name: self._source(path).digest for name, path in found.items()}
        for package in {path.parent for path in found.values() if (path.parent / "__init__.py").exists()}:
            modules |= self._beside(package)
        files = {name for path in found.values() for name in self._source(path).files} | set(notebook.files)
        theirs = [self._source(path) for name, path in found.items() if name.partition(".")[0] != "stagebook"]
        return Reached(dict(sorted(modules.items())), tuple(sorted(files)), _imported([notebook, *theirs]))

    def _source(self, path: Path) -> Source:
        if path not in self._sources:
            self._sources[path] = self._cache.source(path.read_bytes())
        return self._sources[path]

    def _beside(self, package: Path) -> dict[str, str]:
        if package not in self._data:
            files = [entry for entry in sorted(package.iterdir()) if entry.is_file() and entry.suffix not in _NO_DATA]
            self._data[package] = {
                f"{package.name}/{file.name}": digest_of(file.read_bytes())
                for file in files
                if file.stat().st_size <= LARGEST_DATA_BYTES
            }
        return self._data[package]


def _imported(sources: Sequence[Source]) -> frozenset[str] | None:
    if any(source.dynamic for source in sources):
        return None
    return frozenset(found.module.partition(".")[0] for source in sources for found in source.imports)


class _Tree:
    """The modules below some folders, by name; looked for in their order, as Python does."""

    def __init__(self, roots: Sequence[Path], source: Callable[[Path], Source]) -> None:
        self._roots = roots
        self._source = source
        self._entries: dict[str, set[str]] = {}
        self._chains: dict[str, tuple[tuple[str, Path], ...]] = {}
        self._edges: dict[Path, list[tuple[str, Path]]] = {}

    def imported_by(self, name: str, path: Path) -> list[tuple[str, Path]]:
        """The modules that a module loads; all of its package where it computes their names."""
        if path not in self._edges:
            source = self._source(path)
            targets = self.targets(source, name if path.name == "__init__.py" else name.rpartition(".")[0])
            self._edges[path] = targets + (self.below(name.partition(".")[0]) if source.dynamic else [])
        return self._edges[path]

    def targets(self, source: Source, package: str) -> list[tuple[str, Path]]:
        """The modules of the project that a source in `package` loads, parents of a module included."""
        found: list[tuple[str, Path]] = []
        for one in source.imports:
            base = _absolute(one, package)
            if base is None:
                continue
            found += self._chain(base)
            for name in one.names or ():
                found += self.below(base) if name == "*" else self._chain(f"{base}.{name}" if base else name)
        return found

    def below(self, name: str) -> list[tuple[str, Path]]:
        """All modules of a package."""
        found = []
        for root in self._roots:
            base = root.joinpath(*name.split("."))
            for path in sorted(base.rglob("*.py")) if base.is_dir() else ():
                parts = path.relative_to(root).with_suffix("").parts
                found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
        return found

    def _chain(self, name: str) -> tuple[tuple[str, Path], ...]:
        """A module and the packages that it lies in, as far as they are files of the project."""
        if name not in self._chains:
            above, _, _ = name.rpartition(".")
            path = self._file(name.split("."))
            self._chains[name] = (self._chain(above) if above else ()) + (((name, path),) if path else ())
        return self._chains[name]

    def _file(self, parts: Sequence[str]) -> Path | None:
        top, name = parts[0], parts[-1]
        for root in self._roots:
            entries = self._listed(str(root))
            if top not in entries and f"{top}.py" not in entries:
                continue
            folder = "/".join([str(root), *parts[:-1]])
            for inner, file in ((f"{folder}/{name}", "__init__.py"), (folder, f"{name}.py")):
                if file in self._listed(inner) and (path := Path(inner, file)).is_file():
                    return path
        return None

    def _listed(self, folder: str) -> set[str]:
        """The names in a folder; none where there is no such folder."""
        if folder not in self._entries:
            try:
                self._entries[folder] = {entry.name for entry in Path(folder).iterdir()}
            except (FileNotFoundError, NotADirectoryError):
                self._entries[folder] = set()
        return self._entries[folder]


def _absolute(found: Import, package: str) -> str | None:
    """The name of the module that an import in `package` names; None where it leads out of all packages."""
    if not found.level:
        return found.module
    parts = package.split(".") if package else []
    if found.level - 1 > len(parts):
        return None
    kept = parts[: len(parts) - (found.level - 1)]
    return ".".join([*kept, *([found.module] if found.module else [])])


def own_roots(path: Sequence[str] = sys.path) -> list[Path]:
    """The folders of `sys.path` that hold the project's own code: neither installed nor part of Python."""
    installed = {Path(folder).resolve() for folder in _installed()}
    folders = [Path(entry or ".").resolve() for entry in path]
    return [folder for folder in folders if folder.is_dir() and not _lies_in(folder, installed)]


def _installed() -> Iterator[str]:
    paths = sysconfig.get_paths()
    yield from (paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    yield from (*site.getsitepackages(), site.getusersitepackages())


def _lies_in(folder: Path, others: set[Path]) -> bool:
    return folder in others or any(parent in others for parent in folder.parents)
