"""A pipeline: its stages, their retry policies, and where tables, records and tracking data are."""

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
    """When a stage may start, by how its upstream stages ended (Databricks' names)."""

    ALL_SUCCESS = "ALL_SUCCESS"
    ALL_DONE = "ALL_DONE"
    NONE_FAILED = "NONE_FAILED"
    AT_LEAST_ONE_SUCCESS = "AT_LEAST_ONE_SUCCESS"
    ALL_FAILED = "ALL_FAILED"
    AT_LEAST_ONE_FAILED = "AT_LEAST_ONE_FAILED"


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how soon a failed attempt is repeated.

    `timeout` limits one attempt; None means no limit. The wait doubles from `min_interval` with each
    retry, with jitter.
    """

    max_retries: int = 0
    min_interval: timedelta = timedelta(0)
    timeout: timedelta | None = None
    retry_on_timeout: bool = False


@dataclass(frozen=True)
class TableRead:
    """The part of a table that a stage reads, from which its size is estimated: columns (None: all) and conditions."""

    columns: tuple[str, ...] | None = None
    where: Predicates = ()


@dataclass(frozen=True)
class DbutilsInputs:
    """What a Databricks notebook gets from a run.

    It gets all parameters as widgets; those named in `injected` are set in its parameters cell too. `task_values`
    are the task values that it may read, as (task, key); None: all of its upstream stages. `untracked` names a means
    by which it may read data that its code does not show, so that no earlier result is reused; None if there is none.
    """

    injected: frozenset[str] = frozenset()
    task_values: frozenset[tuple[str, str]] | None = frozenset()
    untracked: str | None = None


@dataclass(frozen=True)
class Stage:
    """One notebook of a pipeline.

    `parameters` may contain references such as `{{tasks.train.values.auc}}`, resolved when the stage
    starts. `reads` and `writes` name Delta tables. `only_if` is a reference to a scrap: the stage is
    skipped unless it is true. `reuse` says whether an earlier result may be reused: `auto` (if nothing has changed),
    `never`, or `trusted` (also where nobody can tell). `depends_on_files` are patterns of files that count as well,
    `reads_environment` are names of environment variables that do (None: those that the code names). `may_exit`
    says whether `sys.exit(0)` and its like end the stage early and successfully. `engine` replaces the pipeline's. The
    choice of an engine uses `work`, the kinds of work that the stage does, and `table_reads`, the parts of the tables
    that it does not read completely. `kernel` is `auto` (forked from the fork server if possible) or `cold` (a new
    process). `kernel_name` is the kernel to run in (None: the one that the notebook names); `own_environment` says that
    its packages are those of this process. `pools` are how much of each pool it takes. `dbutils_inputs` is None unless
    the notebook was written for Databricks.
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
    table_reads: Mapping[str, TableRead] = field(default_factory=dict)
    reuse: str = "auto"
    depends_on_files: tuple[str, ...] = ()
    reads_environment: tuple[str, ...] | None = None
    may_exit: bool = False
    kernel: str = "auto"
    kernel_name: str | None = None
    own_environment: bool = True
    pools: Mapping[str, float] = field(default_factory=dict)
    dbutils_inputs: DbutilsInputs | None = None


@dataclass(frozen=True)
class Paths:
    """Where a run's records, tables, files and tracking data are; `external` are folders of tables that others own."""

    root: Path
    runs: Path
    warehouse: Path
    tables: Path
    external: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Tracking:
    """Where MLflow records a run. `uri` is the resolved tracking URI."""

    uri: str
    experiment: str
    registered_model: str
    artifacts: str | None = None


@dataclass(frozen=True)
class SparkSettings:
    """Where Spark computes, and how large the server on this machine is.

    `remote` is None for a server on this machine, `spark://…` for a standalone cluster, `sc://…` for an existing
    Spark Connect server, `databricks` for the session of a Databricks cluster. With `catalog` and `schema`, tables
    have three-level names instead of folders.
    """

    remote: str | None = None
    catalog: str | None = None
    schema: str | None = None
    driver_memory_gb: float | None = None
    idle_minutes: float = 10.0
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_server(self) -> bool:
        """Whether a server on this machine is used; it also drives the cluster of a `spark://` address."""
        return self.remote is None or self.remote.startswith("spark://")


@dataclass(frozen=True)
class Pipeline:
    """A checked pipeline: all names resolve, the graph has no cycle, all notebooks exist.

    `rates` has the price of each profile that is not this machine. `market` has the prices and terms of all node
    types. `pools` are the resources that all runs on a machine share, with their sizes. `warnings` are what is worth
    telling although it does not keep the pipeline from running.
    """

    name: str
    stages: Mapping[str, Stage]
    parameters: Mapping[str, Any]
    paths: Paths
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
    warnings: tuple[str, ...] = ()

    def rate(self, stage: str) -> Rate | None:
        """The price of a stage's cluster; None if it costs nothing."""
        return self.rates.get(self.stages[stage].profile or "")
