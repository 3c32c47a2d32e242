"""The project's own code that a notebook reaches: modules that it imports and scripts that it runs, or that these do.

An import counts at any level of the code. Installed packages are not followed, since the environment is part of the
cache key. Code counts by its syntax tree; files other than Python in its package count by their bytes.
"""

import site
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stagebook.cache.sources.parse import shell_source
from stagebook.cache.sources.source import Import, Source, Unknown, UnknownKind, digest_of
from stagebook.cache.sources.store import SourceCache
from stagebook.notebooks.outline import outline
from stagebook.notebooks.read import content

LARGEST_DATA_BYTES = 64 * 1024**2
_NO_DATA = (".py", ".pyc", ".pyi", ".ipynb", ".md")


@dataclass(frozen=True)
class ReachedCode:
    """What a notebook depends on through its own code and the project's.

    `modules` has a digest by name (`flightdelay.features`, `pkg/data.csv`, the script `tools/clean.py`), `paths` are
    the modules' files. `files` are texts that may be files' names, `folders` those that may also be folders, read
    whole; `environment` are names of environment variables, and `unknown` is what cannot be told. `imported` are the
    top-level names that the notebook and the project's modules import, without those that `stagebook`'s modules
    import; None if one of them computes a name.
    """

    modules: Mapping[str, str]
    files: tuple[str, ...]
    imported: frozenset[str] | None
    folders: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    paths: frozenset[Path] = frozenset()


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
        self._reached: dict[tuple[Source, Path], ReachedCode] = {}

    def reached_by(self, notebook: Source, folder: Path) -> ReachedCode:
        """The modules, scripts and files of the project that a notebook in `folder` reaches."""
        if (notebook, folder) not in self._reached:
            self._reached[notebook, folder] = self._follow(notebook, folder)
        return self._reached[notebook, folder]

    def _follow(self, notebook: Source, folder: Path) -> ReachedCode:
        paths: dict[str, Path] = {}
        scripts: dict[str, Source] = {}
        sources: list[Source] = []
        pending = [(notebook, self._tree(folder))]
        while pending:
            source, tree = pending.pop()
            reached = [source, *self._modules(source, tree, paths)]
            sources += reached
            for name, in_process in _scripts_of(reached):
                if name not in scripts and (path := folder / name).is_file():
                    scripts[name] = self._script(path, name, in_process=in_process)
                    pending.append((scripts[name], self._tree(path.parent)))
        digests = {name: self._source(path).digest for name, path in paths.items()}
        for package in {path.parent for path in paths.values() if (path.parent / "__init__.py").exists()}:
            digests |= self._data_digests(package)
        digests |= {name: script.digest for name, script in scripts.items()}
        total = Source.union("", sources)
        return ReachedCode(
            modules=dict(sorted(digests.items())),
            files=tuple(sorted({*total.files, *total.scripts, *total.programs})),
            imported=None
            if total.dynamic
            else frozenset(statement.module.partition(".")[0] for statement in total.imports),
            folders=total.folders,
            environment=total.environment,
            unknown=total.unknown,
            paths=frozenset(paths.values()),
        )

    def _tree(self, folder: Path) -> "_ModuleTree":
        return self._trees.setdefault(folder, _ModuleTree((folder, *self.roots), self._source, self._package))

    def _modules(self, source: Source, tree: "_ModuleTree", paths: dict[str, Path]) -> list[Source]:
        """Add the modules that a source loads, directly or through others, to `paths`, and give what they depend on.

        The kit's own modules count, but not what they read: it records that itself.
        """
        sources = []
        pending = tree.targets(source, "")
        while pending:
            name, path = pending.pop()
            if name not in paths:
                paths[name] = path
                pending += tree.imported_by(name, path)
                if name.partition(".")[0] != "stagebook":
                    sources.append(self._source(path).at(f"`{name}`"))
        if source.dynamic:
            for package in {name.partition(".")[0] for name in paths}:
                paths |= dict(tree.modules_of(package))
        return sources

    def _script(self, path: Path, name: str, *, in_process: bool) -> Source:
        """What a script depends on. What another process opens is not reported, so it must be named in the code."""
        data = path.read_bytes()
        first_line = data[:200].partition(b"\n")[0]
        if path.suffix == ".ipynb":
            source = self._cache.notebook(content(path), lambda: outline(path)).combined
        elif path.suffix in (".py", ".ipy") or b"python" in first_line:
            source = self._cache.source(data)
        elif path.suffix in (".sh", ".bash") or first_line.endswith((b"/sh", b"bash")):
            source = shell_source(data.decode("utf-8", "replace"))
        else:
            source = Source(digest_of(data), unknown=(Unknown(UnknownKind.OPAQUE_FILES, "is a program"),))
        return (source if in_process else source.opaque()).at(f"`{name}`")

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


def _scripts_of(sources: Sequence[Source]) -> Iterator[tuple[str, bool]]:
    """The scripts that the sources run, each with whether it runs in the notebook's own process."""
    for source in sources:
        yield from ((name, True) for name in source.scripts)
        yield from ((name, False) for name in source.programs)


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
