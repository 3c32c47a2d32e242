"""Where commands other than `run` find runs, tables and the registry."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stagebook.model.pipeline import Pipeline


def pipeline(params: tuple[str, ...], warehouse: Path | None, runs_dir: Path | None) -> "Pipeline":
    """The pipeline of the parameter files; `dev.yaml` where none is named."""
    from stagebook.params.load import Flags, load

    flags = Flags(warehouse=warehouse, runs_dir=runs_dir)
    return load(params or ("dev.yaml",), flags, os.environ, Path.cwd())
