"""What the notebooks of a run's stages do and reach, as of one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stagebook.cache.sources.modules import ModuleFinder, ReachedCode, project_roots
from stagebook.cache.sources.store import SourceCache
from stagebook.notebooks.outline import outline
from stagebook.notebooks.read import content


@dataclass(frozen=True)
class StageCode:
    """A notebook's code cells (digests), the defaults of its parameters cell, and the modules that it reaches."""

    cells: tuple[str, ...]
    defaults: Mapping[str, Any]
    reached: ReachedCode


class CodeReader:
    """Reads notebooks and modules once, until `refresh` is called; parsed sources are kept in `cache`."""

    def __init__(self, cache: SourceCache) -> None:
        self._cache = cache
        self.refresh()

    def refresh(self) -> None:
        """Forget what was read: notebooks and modules may have changed."""
        # Both are replaced by one assignment: stages that run at once share a snapshot, or take a newer one.
        self._snapshot: tuple[ModuleFinder, dict[Path, StageCode]] = (ModuleFinder(project_roots(), self._cache), {})

    def read(self, notebook: Path) -> StageCode:
        """What a notebook does and reaches."""
        finder, codes = self._snapshot
        if notebook not in codes:
            own = self._cache.notebook(content(notebook), lambda: outline(notebook))
            codes[notebook] = StageCode(own.cells, own.defaults, finder.reached_by(own.combined, notebook.parent))
        return codes[notebook]

    def digest(self, module: Path) -> str:
        """The digest of a module's syntax tree; empty if there is no such file."""
        try:
            return self._cache.source(module.read_bytes()).digest
        except OSError:
            return ""

    def may_call_mlflow(self, notebook: Path) -> bool:
        """Whether the notebook or the project's code below it may call MLflow by itself, not through `stage`."""
        imported = self.read(notebook).reached.imported
        return imported is None or "mlflow" in imported or "mlflow" in content(notebook)
