"""What Databricks puts into a notebook, put into the shell of this process: `dbutils`, `display`, `spark`, magics.

The runner puts a cell that calls `begin` before a notebook that was written for Databricks. In JupyterLab,
`from stagebook.stage import databricks_shell; databricks_shell.begin()` does the same; there task values are their
`debugValue`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stagebook.after_import import after_import
from stagebook.dbutils import Dbutils, EnvironmentSecrets
from stagebook.dbutils.errors import NoSparkSession
from stagebook.stage import databricks_magics
from stagebook.stage.current import VOLUMES, current

MOST_ROWS = 1000
"""Of a Spark frame that is displayed, as on Databricks."""


_FRAMES = ("pandas.core.frame", "pyspark.sql.dataframe", "pyspark.sql.connect.dataframe")
"""Modules whose `DataFrame` has a method `display` on Databricks."""


class ScrapValues:
    """Task values as scraps of the stage, and those of upstream stages from the context file."""

    def __init__(self, upstream: Mapping[str, Mapping[str, Any]]) -> None:
        self._upstream = upstream

    def put(self, key: str, value: Any) -> None:
        """Glue the value as `scrapbook.glue` does, without importing it (and pandas with it)."""
        from IPython.display import display

        encoder = "text" if isinstance(value, str) else "json"
        payload = {"name": key, "data": value, "encoder": encoder, "version": 1}
        metadata = {"scrapbook": {"name": key, "data": True, "display": False}}
        display({f"application/scrapbook.scrap.{encoder}+json": payload}, metadata=metadata, raw=True)

    def of(self, task: str) -> Mapping[str, Any] | None:
        return self._upstream.get(task)


class Spark:
    """Spark's session, opened when it is first used."""

    def __getattr__(self, name: str) -> Any:
        """Raises: NoSparkSession: the stage computes on another engine."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_session(), name)


def begin() -> None:
    """Put it all into the shell."""
    from IPython import get_ipython

    shell = get_ipython()
    assert shell is not None, "a notebook has a shell"
    stage = current()
    values = ScrapValues(stage.context.task_values) if stage.managed else None
    dbutils = Dbutils(stage.context.widgets or {}, values, EnvironmentSecrets(), _volumes(stage.context.warehouse))
    if (remote := stage.context.spark.remote) and stage.context.engine == "spark" and remote.startswith("sc://"):
        os.environ.setdefault("SPARK_REMOTE", remote)  # for SparkSession.builder.getOrCreate()
    names = {
        "dbutils": dbutils,
        "spark": Spark(),
        "display": display,
        "displayHTML": display_html,
        "getArgument": dbutils.widgets.getArgument,
    }
    shell.push(names)
    runtime = ModuleType("databricks.sdk.runtime")
    vars(runtime).update(names)
    sys.modules[runtime.__name__] = runtime  # modules take `dbutils` from there
    databricks_magics.register(shell, names)
    for module in _FRAMES:
        after_import(module, _add_display)


def display(*values: Any, **options: Any) -> None:
    """Show frames and figures; of a Spark frame the first rows. Options of Databricks' own do nothing."""
    from IPython.display import display as show_one

    for value in values:
        is_spark = hasattr(value, "toPandas") and hasattr(value, "limit")
        show_one(value.limit(MOST_ROWS).toPandas() if is_spark else value)


def _add_display(module: ModuleType) -> None:
    """Give a module's frames Databricks' method `display`, unless they have it."""
    frame: Any = module.DataFrame
    if not hasattr(frame, "display"):
        frame.display = display


def display_html(html: str) -> None:
    """Show HTML."""
    from IPython.display import HTML, display

    display(HTML(html))


def _session() -> Any:
    from stagebook.stage.tables import warehouse

    context = current().context
    if context.engine != "spark":
        raise NoSparkSession.of(context.stage, context.engine)
    engine: Any = warehouse().engine
    return engine.session


def _volumes(warehouse: Path) -> Path:
    """The folder that `/Volumes` stands for."""
    return Path(os.environ.get(VOLUMES) or warehouse / "Volumes")
