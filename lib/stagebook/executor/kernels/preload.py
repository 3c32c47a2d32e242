"""What a fork server imports, in which order: what every worker needs, then what the stages need, in their order.

Only libraries that have been seen to survive a fork after they were imported. A kernel imports by itself what else
its notebook needs.
"""

from collections.abc import Iterable

from stagebook.notebooks.cells import imported_modules
from stagebook.notebooks.outline import Outline

BASE = (
    "nbformat", "jupyter_client.manager", "zmq.asyncio", "nbclient", "papermill.execute", "papermill.engines",
    "ipykernel.kernelapp", "ipykernel_launcher", "ipykernel.kernelspec", "psutil", "jupytext", "resource",
    "ipykernel.debugger", "debugpy.server.api", "IPython.core.debugger", "IPython.core.completerlib",
    "IPython.extensions.storemagic", "IPython.core.logger", "tornado.platform.asyncio", "tornado.queues",
)  # fmt: skip
"""What a worker and a bare kernel import. A worker can be forked once these are imported."""

MLFLOW = (
    "sqlalchemy", "alembic", "fastapi", "flask", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
)  # fmt: skip
"""MLflow with its database, large ones of what it imports by themselves."""

LAZY_IMPORTS = (
    "pandas", "pyarrow.compute", "narwhals", "deltalake", "polars", "scrapbook", "pandera.pandas",
    "pandera.backends.pandas.builtin_checks", "scipy.stats",
    "sklearn.ensemble", "sklearn.calibration", "sklearn.compose", "sklearn.pipeline", "sklearn.metrics",
    "matplotlib.figure", "matplotlib.axes", "matplotlib.style", "matplotlib.image", "skops.io", *MLFLOW,
    "mlflow.sklearn",
)  # fmt: skip
"""What `stagebook.stage` and `flightdelay` import when they are called, about in the order of the stages. Not `pyplot`,
which looks for the notebook that it is imported in."""

BACKGROUND_WORKER = (*MLFLOW, "deltalake", "pyarrow.compute", "jinja2", "nh3", "nbconvert.filters.markdown_mistune")
"""What a run's background worker imports, which is forked too."""

FORK_SAFE = frozenset(name.partition(".")[0] for name in LAZY_IMPORTS) | {
    "numpy", "pyarrow", "duckdb", "requests", "rich", "pydantic", "psutil", "joblib", "IPython",
}  # fmt: skip
"""Packages that may be imported before a fork."""

_LAZY_PACKAGES = {"stagebook", "flightdelay"}


def modules_to_preload(outlines: Iterable[Outline]) -> list[str]:
    """The modules to import for these notebooks, given in the order in which they run."""
    modules: list[str] = []
    for outline in outlines:
        for cell in outline.cells:
            if cell.kind == "code":
                for name in imported_modules(cell.source):
                    package = name.partition(".")[0]
                    modules += LAZY_IMPORTS if package in _LAZY_PACKAGES else [name] if package in FORK_SAFE else []
    return [name for name in dict.fromkeys(modules) if name != "matplotlib.pyplot"]
