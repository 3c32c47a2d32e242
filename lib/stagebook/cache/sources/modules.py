"""The project's own modules that a notebook's imports reach, directly or through others.

An import counts at any level of the code. Installed packages are not followed, since the environment is part of the
cache key. A module counts by its syntax tree; files other than Python in its package count by their bytes.
"""

import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagebook.cache.sources.parse import Import, Source, digest_of
from stagebook.cache.sources.store import SourceCache

LARGEST_DATA_BYTES = 64 * 1024**2
_NO_DATA = (".py", ".pyc", ".pyi", ".ipynb", ".md")


@dataclass(frozen=True)
class ReachedModules:
    """What a notebook depends on: name → digest (`flightdelay.features`, `pkg/data.csv`), and texts like file names.

    `imported` are the top-level names that the notebook and the project's modules import, without those that
    `stagebook`'s modules import; None if one of them computes a name.
    """

    modules: Mapping[str, str]
    files: tuple[str, ...]
    imported: frozenset[str] | None


class ModuleFinder:
    """Finds modules below `roots` (folders as in `sys.path`) and reads each file once.

    Args:
        package: follow imports of this top-level package only; None: of all that lie below the roots.
    """

    def __init__(self, roots: Sequence[Path], cache: SourceCache, *, package: str | None = None) -> None:
        self.roots = tuple(dict.fromkeys(roots))
        self._cache, self._package = cache, package
        self._sources: dict[Path, Source] = {}
        self._data: dict[Path, dict[str, str]] = {}
        self._trees: dict[Path, _ModuleTree] = {}
        self._reached: dict[tuple[Source, Path], ReachedModules] = {}

    def reached_by(self, notebook: Source, folder: Path) -> ReachedModules:
        """The modules and files of the project that a notebook in `folder` reaches."""
        if (notebook, folder) not in self._reached:
            tree = self._trees.setdefault(folder, _ModuleTree((folder, *self.roots), self._source, self._package))
            self._reached[notebook, folder] = self._follow(notebook, tree)
        return self._reached[notebook, folder]

    def _follow(self, notebook: Source, tree: "_ModuleTree") -> ReachedModules:
        paths: dict[str, Path] = {}
        pending = tree.targets(notebook, "")
        while pending:
            name, path = pending.pop()
            if name not in paths:
                paths[name] = path
                pending += tree.imported_by(name, path)
        if notebook.dynamic:
            for package in {name.partition(".")[0] for name in paths}:
                paths |= dict(tree.modules_of(package))
        digests = {name: self._source(path).digest for name, path in paths.items()}
        for package in {path.parent for path in paths.values() if (path.parent / "__init__.py").exists()}:
            digests |= self._data_digests(package)
        files = {name for path in paths.values() for name in self._source(path).files} | set(notebook.files)
        own = [self._source(path) for name, path in paths.items() if name.partition(".")[0] != "stagebook"]
        return ReachedModules(dict(sorted(digests.items())), tuple(sorted(files)), _top_names([notebook, *own]))

    def _source(self, path: Path) -> Source:
        if path not in self._sources:
            self._sources[path] = self._cache.source(path.read_bytes())
        return self._sources[path]

    def _data_digests(self, package: Path) -> dict[str, str]:
        if package not in self._data:
            files = [entry for entry in sorted(package.iterdir()) if entry.is_file() and entry.suffix not in _NO_DATA]
            self._data[package] = {
                f"{package.name}/{file.name}": digest_of(file.read_bytes())
                for file in files
                if file.stat().st_size <= LARGEST_DATA_BYTES
            }
        return self._data[package]


def _top_names(sources: Sequence[Source]) -> frozenset[str] | None:
    """The top-level names that the sources import; None if one of them computes a name."""
    if any(source.dynamic for source in sources):
        return None
    return frozenset(statement.module.partition(".")[0] for source in sources for statement in source.imports)


class _ModuleTree:
    """The modules below some folders by name; the first folder that has a module wins, as in Python."""

    def __init__(self, roots: Sequence[Path], source: Callable[[Path], Source], package: str | None) -> None:
        self._roots = roots
        self._source = source
        self._package = package
        self._entries: dict[str, set[str]] = {}
        self._chains: dict[str, tuple[tuple[str, Path], ...]] = {}
        self._edges: dict[Path, list[tuple[str, Path]]] = {}

    def imported_by(self, name: str, path: Path) -> list[tuple[str, Path]]:
        """The modules that a module loads; all of its top-level package if it computes names."""
        if path not in self._edges:
            source = self._source(path)
            targets = self.targets(source, name if path.name == "__init__.py" else name.rpartition(".")[0])
            self._edges[path] = targets + (self.modules_of(name.partition(".")[0]) if source.dynamic else [])
        return self._edges[path]

    def targets(self, source: Source, package: str) -> list[tuple[str, Path]]:
        """The modules of the project that a source in `package` imports, with the packages that contain them."""
        modules: list[tuple[str, Path]] = []
        for statement in source.imports:
            base = _absolute(statement, package)
            if base is None:
                continue
            modules += self._chain(base)
            for name in statement.names or ():
                modules += self.modules_of(base) if name == "*" else self._chain(f"{base}.{name}" if base else name)
        return modules

    def modules_of(self, name: str) -> list[tuple[str, Path]]:
        """All modules of a package."""
        modules = []
        for root in self._roots:
            base = root.joinpath(*name.split("."))
            for path in sorted(base.rglob("*.py")) if base.is_dir() else ():
                parts = path.relative_to(root).with_suffix("").parts
                modules.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
        return modules

    def _chain(self, name: str) -> tuple[tuple[str, Path], ...]:
        """A module and the packages that contain it, as far as they are files of the project."""
        if name not in self._chains:
            parent, _, _ = name.rpartition(".")
            path = self._file(name.split("."))
            self._chains[name] = (self._chain(parent) if parent else ()) + (((name, path),) if path else ())
        return self._chains[name]

    def _file(self, parts: Sequence[str]) -> Path | None:
        top, name = parts[0], parts[-1]
        if self._package not in (None, top):
            return None
        for root in self._roots:
            entries = self._names_in(str(root))
            if top not in entries and f"{top}.py" not in entries:
                continue
            folder = "/".join([str(root), *parts[:-1]])
            for inner, file in ((f"{folder}/{name}", "__init__.py"), (folder, f"{name}.py")):
                if file in self._names_in(inner) and (path := Path(inner, file)).is_file():
                    return path
        return None

    def _names_in(self, folder: str) -> set[str]:
        """The names of the entries in a folder; none if there is no such folder."""
        if folder not in self._entries:
            try:
                self._entries[folder] = {entry.name for entry in Path(folder).iterdir()}
            except (FileNotFoundError, NotADirectoryError):
                self._entries[folder] = set()
        return self._entries[folder]


def _absolute(statement: Import, package: str) -> str | None:
    """The name of the module that an import in `package` names; None if it is relative beyond the top package."""
    if not statement.level:
        return statement.module
    parts = package.split(".") if package else []
    if statement.level - 1 > len(parts):
        return None
    base = parts[: len(parts) - (statement.level - 1)]
    return ".".join([*base, *([statement.module] if statement.module else [])])


def project_roots(path: Sequence[str] = sys.path) -> list[Path]:
    """The folders of `sys.path` that contain the project's own code: neither installed nor part of Python."""
    installed = {Path(folder).resolve() for folder in _installed()}
    folders = [Path(entry or ".").resolve() for entry in path]
    return [folder for folder in folders if folder.is_dir() and not _is_within(folder, installed)]


def _installed() -> Iterator[str]:
    paths = sysconfig.get_paths()
    yield from (paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    yield from (*site.getsitepackages(), site.getusersitepackages())


def _is_within(folder: Path, roots: set[Path]) -> bool:
    return folder in roots or any(parent in roots for parent in folder.parents)
