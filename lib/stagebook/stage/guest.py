"""What Databricks puts into a notebook, put into the shell of this process: `dbutils`, `display`, `spark`, magics.

The runner begins a notebook with it that was written for Databricks. In JupyterLab,
`from stagebook.stage import guest; guest.begin()` does the same; there task values are their `debugValue`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stagebook.stage import guest_magics
from stagebook.stage.current import VOLUMES, current
from stagebook.standins import Dbutils, EnvironmentSecrets
from stagebook.standins.errors import SparkNotHere

MOST_ROWS = 1000
"""Of a Spark frame that is displayed, as on Databricks."""


class ScrapValues:
    """Task values as scraps of the stage, and those of upstream as the runner has handed them on."""

    def __init__(self, upstream: Mapping[str, Mapping[str, Any]]) -> None:
        self._upstream = upstream

    def put(self, key: str, value: Any) -> None:
        """Glue the value as `scrapbook.glue` does, without importing it (and pandas with it)."""
        from IPython.display import display

        encoder = "text" if isinstance(value, str) else "json"
        payload = {"name": key, "data": value, "encoder": encoder, "version": 1}
        about = {"scrapbook": {"name": key, "data": True, "display": False}}
        display({f"application/scrapbook.scrap.{encoder}+json": payload}, metadata=about, raw=True)

    def of(self, task: str) -> Mapping[str, Any] | None:
        return self._upstream.get(task)


class Spark:
    """Spark's session, opened when it is first used."""

    def __getattr__(self, name: str) -> Any:
        """Raises: SparkNotHere: the stage computes on another engine."""
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
    guest_magics.register(shell, names)


def display(*things: Any, **options: Any) -> None:
    """Show frames and figures; of a Spark frame the first rows. Options of Databricks' own do nothing."""
    from IPython.display import display as show

    for thing in things:
        is_spark = hasattr(thing, "toPandas") and hasattr(thing, "limit")
        show(thing.limit(MOST_ROWS).toPandas() if is_spark else thing)


def display_html(html: str) -> None:
    """Show HTML."""
    from IPython.display import HTML, display

    display(HTML(html))


def _session() -> Any:
    from stagebook.stage.tables import warehouse

    context = current().context
    if context.engine != "spark":
        raise SparkNotHere.of(context.stage, context.engine)
    engine: Any = warehouse().engine
    return engine.session


def _volumes(warehouse: Path) -> Path:
    """The folder that `/Volumes` stands for."""
    return Path(os.environ.get(VOLUMES) or warehouse / "Volumes")
