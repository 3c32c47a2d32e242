"""What a pipeline is: stages, their retry policy, where tables and tracking live."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from stagebook.model.deployment import Deployment
from stagebook.model.pricing import Budget, Market, Rate
from stagebook.model.tables import Predicates


class RunIf(StrEnum):
    """When a stage may start, given how its upstream stages ended (Databricks' own names)."""

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"
    NONE_FAILED = "NONE_FAILED"
    AT_LEAST_ONE_SUCCESS = "AT_LEAST_ONE_SUCCESS"
    ALL_FAILED = "ALL_FAILED"
    AT_LEAST_ONE_FAILED = "AT_LEAST_ONE_FAILED"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed attempt is repeated.

    `timeout` bounds one attempt; None means no bound. The wait doubles from `min_interval` with each
    retry, with jitter.
    """

    max_retries: int = 0
    min_interval: timedelta = timedelta(0)
    timeout: timedelta | None = None
    retry_on_timeout: bool = False


@dataclass(frozen=True)
class Narrowed:
    """What a stage reads of a table, for telling its size: columns (None: all) and conditions."""

    columns: tuple[str, ...] | None = None
    where: Predicates = ()


@dataclass(frozen=True)
class Guest:
    """What a notebook that was written for Databricks takes from its job.

    All parameters are widgets to it, and those that `injected` names are set in its parameters cell too. `values`
    are the task values that it may read, as (task, key); None: any of its upstream. `unseen` says by what it may read
    what nobody can tell from its code, so that no earlier result stands for it.
    """

    injected: frozenset[str] = frozenset()
    values: frozenset[tuple[str, str]] | None = frozenset()
    unseen: str | None = None


@dataclass(frozen=True)
class Stage:
    """One notebook of a pipeline.

    `parameters` may hold references such as `{{tasks.train.values.auc}}`, resolved when the stage
    starts. `reads` and `writes` name Delta tables. `only_if` is a reference to a scrap: the stage is
    skipped unless it is true. `reuse` says whether an earlier result may stand for it. `engine` is this
    stage's own, instead of the pipeline's. For the choice of an engine, `work` says which kinds of work it
    does, `narrowed` what it needs of tables not read whole. `kernel` is `auto` (forked from the kernel host
    where that can be) or `cold` (started afresh). `guest` is told of a notebook of Databricks.
    """

    name: str
    notebook: Path
    depends_on: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    run_if: RunIf = RunIf.ALL_SUCCESS
    only_if: str | None = None
    profile: str | None = None
    engine: str | None = None
    work: tuple[str, ...] = ()
    narrowed: Mapping[str, Narrowed] = field(default_factory=dict)
    reuse: bool = True
    kernel: str = "auto"
    pools: Mapping[str, float] = field(default_factory=dict)
    guest: Guest | None = None


@dataclass(frozen=True)
class Places:
    """Where a run keeps its records, tables, files and tracking data; `external` are folders of others' tables."""

    root: Path
    runs: Path
    warehouse: Path
    tables: Path
    external: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracking:
    """Where MLflow records a run. `uri` is a tracking URI, resolved: never null."""

    uri: str
    experiment: str
    registered_model: str
    artifacts: str | None = None


@dataclass(frozen=True)
class SparkSettings:
    """Where Spark computes, and how the server of this machine is sized.

    `remote` is None for a server on this machine, `spark://…` for a standalone cluster, `sc://…` for a
    Spark Connect server of others, `databricks` for the session that exists there. With `catalog` and `schema`
    tables have three-level names instead of folders.
    """

    remote: str | None = None
    catalog: str | None = None
    schema: str | None = None
    driver_memory_gb: float | None = None
    idle_minutes: float = 10.0
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_server(self) -> bool:
        """Whether a server of this machine is used: it drives the cluster of a `spark://` address too."""
        return self.remote is None or self.remote.startswith("spark://")


@dataclass(frozen=True)
class Pipeline:
    """A checked pipeline: all names resolve, the graph has no cycle, all notebooks exist.

    `rates` says what each profile costs; one that is this machine is not in it. `market` is what else could be
    bought. `pools` are what all runs on a machine
    share, with their sizes.
    """

    name: str
    stages: Mapping[str, Stage]
    parameters: Mapping[str, Any]
    places: Places
    tracking: Tracking
    engine: str = "auto"
    spark: SparkSettings = SparkSettings()
    notifications: Mapping[str, Any] = field(default_factory=dict)
    deployment: Deployment = field(default_factory=Deployment)
    params_files: tuple[str, ...] = ()
    rates: Mapping[str, Rate] = field(default_factory=dict)
    market: Market = field(default_factory=Market)
    budget: Budget = field(default_factory=Budget)
    pools: Mapping[str, float] = field(default_factory=dict)

    def rate(self, stage: str) -> Rate | None:
        """What a stage's cluster costs; None where it costs nothing."""
        return self.rates.get(self.stages[stage].profile or "")
