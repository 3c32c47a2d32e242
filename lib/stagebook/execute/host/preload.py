"""What a host imports, in which order: first what every worker needs, then what the stages will, first ones first.

Only libraries that have been seen to survive a fork after they were imported. What else a notebook imports, its kernel
imports itself.
"""

import ast
from collections.abc import Iterable, Iterator

from stagebook.notebook.cells import without_magics
from stagebook.notebook.outline import Outline

BASE = (
    "nbformat", "jupyter_client.manager", "zmq.asyncio", "nbclient", "papermill.execute", "papermill.engines",
    "ipykernel.kernelapp", "ipykernel_launcher", "ipykernel.kernelspec", "psutil", "jupytext", "resource",
    "ipykernel.debugger", "debugpy.server.api", "IPython.core.debugger", "IPython.core.completerlib",
    "IPython.extensions.storemagic", "IPython.core.logger", "tornado.platform.asyncio", "tornado.queues",
)  # fmt: skip
"""What a worker and a bare kernel import. The worker can be forked when these are there."""

MLFLOW = (
    "sqlalchemy", "alembic", "fastapi", "flask", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
)  # fmt: skip
"""MLflow with its database, large ones of what it imports by themselves."""

LAZILY = (
    "pandas", "pyarrow.compute", "narwhals", "deltalake", "polars", "scrapbook", "pandera.pandas",
    "pandera.backends.pandas.builtin_checks", "scipy.stats",
    "sklearn.ensemble", "sklearn.calibration", "sklearn.compose", "sklearn.pipeline", "sklearn.metrics",
    "matplotlib.figure", "matplotlib.axes", "matplotlib.style", "matplotlib.image", "skops.io", *MLFLOW,
    "mlflow.sklearn",
)  # fmt: skip
"""What `stagebook.stage` and `flightdelay` import when they are called, about in the order of the stages. Not `pyplot`,
which looks for the notebook that it is imported in."""

CLERK = (*MLFLOW, "deltalake", "pyarrow.compute", "jinja2", "nh3", "nbconvert.filters.markdown_mistune")
"""What a run's clerk imports, which is forked too."""

SURVIVES_A_FORK = frozenset(name.partition(".")[0] for name in LAZILY) | {
    "numpy", "pyarrow", "duckdb", "requests", "rich", "pydantic", "psutil", "joblib", "IPython",
}  # fmt: skip
"""Packages that may be imported before a fork."""

_OURS = {"stagebook", "flightdelay"}


def modules(outlines: Iterable[Outline]) -> list[str]:
    """The modules to import for these notebooks, given in the order in which they run."""
    wanted: list[str] = []
    for outline in outlines:
        for cell in outline.cells:
            if cell.kind == "code":
                for name in imported(cell.source):
                    top = name.partition(".")[0]
                    wanted += LAZILY if top in _OURS else [name] if top in SURVIVES_A_FORK else []
    return [name for name in dict.fromkeys(wanted) if name != "matplotlib.pyplot"]


def imported(source: str) -> Iterator[str]:
    """The modules that a cell's import statements name; none where it is not Python."""
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module
