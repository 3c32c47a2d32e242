"""The context of a running stage: written by the runner, read by `stagebook.stage`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from stagebook.model.pipeline import SparkSettings, Tracking

VARIABLE = "STAGEBOOK_CONTEXT"
"""The environment variable that names the context's file in a kernel."""

MAX_SCRAP_BYTES = 48 * 1024
"""Databricks' limit of a task value, used for scraps too, so that a pipeline that runs here also runs there."""

REGISTRY = ".registry.json"
"""Suffix of the file in which an attempt records its use of the model registry."""


@dataclass(frozen=True)
class StageContext:
    """What the kernel of one attempt gets from the run. `inputs` are the pinned versions of the tables in `reads`.

    For a Databricks notebook, `widgets` are the values that a job would pass (None for any other notebook), and
    `task_values` are those of upstream stages that it may read: task → key → value.
    """

    run_id: str
    stage: str
    attempt: int
    run_folder: Path
    warehouse: Path
    tables: Path
    engine: str
    tracking: Tracking
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    inputs: dict[str, int] = field(default_factory=dict)
    spark: SparkSettings = field(default_factory=SparkSettings)
    external: Mapping[str, Path] = field(default_factory=dict)
    widgets: Mapping[str, str] | None = None
    task_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "run_folder": str(self.run_folder),
            "warehouse": str(self.warehouse),
            "tables": str(self.tables),
            "external": {name: str(path) for name, path in self.external.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        paths = {key: Path(value[key]) for key in ("run_folder", "warehouse", "tables")}
        lists = {key: tuple(value[key]) for key in ("reads", "writes")}
        settings = {"tracking": Tracking(**value["tracking"]), "spark": SparkSettings(**value["spark"])}
        external = {name: Path(path) for name, path in value["external"].items()}
        return cls(**{**value, **paths, **lists, **settings, "external": external})
