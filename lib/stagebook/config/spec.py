"""The models of a merged parameter file: every key with its description, type, default and example.

Keys have Databricks' names wherever Databricks has one. The reference page, the JSON Schema and the error messages are
made from these models.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stagebook.config.cost_spec import BudgetSpec, CostSpec, ProfileSpec
from stagebook.config.databricks_spec import DatabricksSpec, QueueSpec, ScheduleSpec
from stagebook.config.structure import FilePath, Name, Strict
from stagebook.model.gate import Metric
from stagebook.model.pipeline import RunIf

EngineChoice = Literal["auto", "pandas", "polars", "spark"]
Work = Literal["scan", "join", "aggregate", "window", "fit"]
Event = Literal["success", "failure", "gate_refused", "interrupted"]


class RetrySpec(Strict):
    """How a stage is attempted and retried; in `defaults` for all stages, in a stage for that one."""

    max_retries: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="How many attempts may follow a failed first one. Default: 0.",
        examples=[2],
    )
    min_retry_interval_millis: int | None = Field(
        default=None,
        ge=0,
        le=10**10,
        description="Milliseconds to wait before the first retry; the wait doubles with each retry, with jitter."
        " Default: 0.",
        examples=[2000],
    )
    timeout_seconds: float | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="The longest time of one attempt in seconds. Default: 0, no limit.",
        examples=[1800],
    )
    retry_on_timeout: bool | None = Field(
        default=None,
        description="Whether an attempt that reached its time limit is retried. Default: false.",
        examples=[True],
    )
    kernel: Literal["auto", "cold"] | None = Field(
        default=None,
        description="How the kernel starts: `auto` (default) forks it from the fork server if possible, `cold` starts"
        " a new process.",
        examples=["cold"],
    )
    kernel_name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="The installed Jupyter kernel that runs the notebook, instead of the one that the notebook names. A"
        " result of a kernel of another environment is never reused, since the packages there are not known.",
        examples=["python3"],
    )


Condition = Annotated[tuple[str, Literal["=", "!=", "<", "<=", ">", ">=", "in"], Any], Field(strict=False)]


class ReadSpec(Strict):
    """Which part of a table a stage reads; the choice of an engine uses it to estimate sizes."""

    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="The columns that are read. Default: all.",
        examples=[["month", "dep_delay"]],
    )
    where: list[Condition] = Field(
        default_factory=list,
        description="Conditions on the rows that are read, each as column, operator and value.",
        examples=[[["month", "=", 12], ["origin", "in", ["JFK", "LGA"]]]],
    )


def _by_table(reads: Any) -> Any:
    """A list of table names as tables that are read completely."""
    is_list_of_names = isinstance(reads, list) and all(isinstance(name, str | int) for name in reads)
    return {name: {} for name in reads} if is_list_of_names else reads


class StageSpec(RetrySpec):
    """One stage: a notebook with its place in the graph."""

    notebook: FilePath = Field(
        description="Path of the notebook, from the project's root.", examples=["notebooks/03_train.py"]
    )
    depends_on: list[str] = Field(
        default_factory=list, description="The stages that must end before this one starts.", examples=[["data_prep"]]
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values for the notebook's parameters cell. `{{tasks.x.values.y}}` is the scrap that stage `x`"
        " glued as `y`.",
        examples=[{"max_iter": 100, "model_file": "{{tasks.train.values.model}}"}],
    )
    reads: Annotated[
        dict[Name, ReadSpec],
        BeforeValidator(_by_table, json_schema_input_type=dict[Name, ReadSpec] | list[Name]),
    ] = Field(
        default_factory=dict,
        description="The tables that the stage may read, pinned to one version for the run: a list of names, or a"
        " mapping that also tells which part of a table is needed.",
        examples=[["flights", "weather"], {"features": {"where": [["month", "=", 12]]}}],
    )
    writes: list[Name] = Field(
        default_factory=list,
        description="The tables that the stage must write; it may write no others.",
        examples=[["features"]],
    )
    run_if: RunIf = Field(
        default=RunIf.ALL_SUCCESS,
        strict=False,
        description="How the upstream stages must have ended. A skipped one counts as a success, but behind skipped"
        " ones alone a stage is skipped; one that ended early (`stage.end`) has no result for any but `ALL_DONE`.",
        examples=["ALL_DONE"],
    )
    only_if: str | None = Field(
        default=None,
        description="A reference to a scrap; the stage is skipped unless its value is true.",
        examples=["{{tasks.register_model.values.promoted}}"],
    )
    profile: str | None = Field(
        default=None,
        description="The workload profile, of `profiles`, that the stage would run on. It decides the estimated cost.",
        examples=["train"],
    )
    engine: EngineChoice | None = Field(
        default=None,
        description="The engine that computes on this stage's tables. Default: `tables.engine`.",
        examples=["polars"],
    )
    reuse: Literal["auto", "never", "trusted"] = Field(
        default="auto",
        description="`auto` takes the result of an earlier run if nothing has changed, and runs the stage if that"
        " cannot be told; `never` always runs it; `trusted` takes the result also if it cannot be told.",
        examples=["never"],
    )
    depends_on_files: list[str] = Field(
        default_factory=list,
        description="Files that the stage reads without naming them in its code, as paths from the project's root with"
        " `*` for any text, or folders. They count by content, and nothing else that it opens makes it run.",
        examples=[["data/*.csv", "models/"]],
    )
    reads_environment: list[str] | None = Field(
        default=None,
        description="Environment variables that the stage reads without naming them in its code.",
        examples=[["AWS_REGION"]],
    )
    early_exit: Literal["failure", "success"] = Field(
        default="failure",
        description="What it means if the notebook exits with status 0 before its last cell, by `sys.exit()`, `exit()`"
        " or `quit()`: `failure`, or `success` as of `stage.end`. Another exit status is always a failure.",
        examples=["success"],
    )
    idempotent: bool | None = Field(
        default=None,
        description="`false` says that running the stage twice has another effect than running it once, so a failed"
        " attempt is not retried.",
        examples=[False],
    )
    pools: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="How much of each pool the stage takes while it runs.",
        examples=[{"spark": 1, "memory_gb": 4}],
    )
    work: list[Work] = Field(
        default_factory=list,
        description="The kinds of work that the stage does, each listed as often as it is done; the choice of an engine"
        " uses them.",
        examples=[["join", "join", "fit"]],
    )


class TablesSpec(Strict):
    """Where tables are and what computes on them."""

    root: FilePath | None = Field(
        default=None,
        description="The folder of the Delta tables. Default: `tables` in the warehouse.",
        examples=["/data/tables"],
    )
    engine: EngineChoice = Field(
        default="auto",
        description="The engine that computes on tables; `auto` chooses one for each stage by the size of its inputs.",
        examples=["pandas"],
    )
    external: dict[Name, FilePath] = Field(
        default_factory=dict,
        description="Delta tables that others own, as name and folder. They are read and pinned like all tables, and"
        " never written.",
        examples=[{"bookings": "/data/shared/bookings"}],
    )


class SparkSpec(Strict):
    """Where Spark computes, and how the server of this machine is set up."""

    remote: str | None = Field(
        default=None,
        pattern=r"^(sc://.+|spark://.+|databricks)$",
        description="Where Spark runs: null for a server on this machine, `sc://host:port` for a Spark Connect server,"
        " `spark://host:port` for a cluster, or `databricks`.",
        examples=["sc://spark.example.com:15002"],
    )
    conf: dict[str, str] = Field(
        default_factory=dict,
        description="Spark settings of the server on this machine.",
        examples=[{"spark.sql.shuffle.partitions": "8"}],
    )


class TrackingSpec(Strict):
    """Where MLflow records runs and models."""

    uri: str | None = Field(
        default=None,
        description="MLflow's tracking URI. Default: `mlflow.db` in the warehouse.",
        examples=["http://localhost:5000"],
    )
    experiment: str = Field(
        default="stagebook",
        min_length=1,
        max_length=500,
        description="The name of the MLflow experiment.",
        examples=["flightdelay"],
    )
    registered_model: str = Field(
        default="model",
        pattern=r"^[^/:\x00-\x1f]*[^/:\s]$",
        max_length=250,
        description="The name of the model in the model registry, without `/` and `:`.",
        examples=["flight_delay"],
    )


class GateSpec(Strict):
    """One rule of the validation gate: a metric against a threshold, the baseline or the champion."""

    metric: Metric = Field(description="The metric that is judged, measured on the hold-out.", examples=["roc_auc"])
    threshold: float | None = Field(
        default=None,
        description="The value that the metric must reach. A rule has either `threshold` or `better_than`.",
        examples=[0.62],
    )
    better_than: Literal["baseline", "champion"] | None = Field(
        default=None, description="The model that must be matched, instead of a threshold.", examples=["baseline"]
    )
    slices: list[str] = Field(
        default_factory=list,
        description="Columns; the rule must hold for the rows of each of their values alone.",
        examples=[["origin"]],
    )
    min_slice_rows: int = Field(default=0, ge=0, description="Slices with fewer rows are not judged.", examples=[1000])

    @model_validator(mode="after")
    def _one_bound(self) -> "GateSpec":
        if (self.threshold is None) == (self.better_than is None):
            raise ValueError("a rule has either `threshold` or `better_than`")
        return self


class NotificationsSpec(Strict):
    """When to send notices; the addresses are in the environment variable STAGEBOOK_NOTIFY_URLS."""

    on: list[Event] = Field(
        default_factory=lambda: ["success", "failure", "gate_refused", "interrupted"],
        description="The ends of a run that send a notice.",
        examples=[["failure", "gate_refused"]],
    )


class PipelineSpec(Strict):
    """A complete merged parameter file."""

    pipeline: Name = Field(default="pipeline", description="The name of the pipeline.", examples=["flightdelay"])
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of parameters; each is passed to all stages whose notebook declares its name.",
        examples=[{"seed": 13, "late_after_min": 15}],
    )
    defaults: RetrySpec = Field(
        default_factory=RetrySpec,
        description="How stages are attempted and retried, for all stages that do not set it themselves.",
        examples=[{"max_retries": 1, "timeout_seconds": 1800}],
    )
    stages: dict[Name, StageSpec] = Field(
        min_length=1,
        description="The stages of the pipeline, by name.",
        examples=[
            {
                "data_prep": {"notebook": "notebooks/01_data_prep.py", "writes": ["flights"]},
                "train": {"notebook": "notebooks/03_train.py", "depends_on": ["data_prep"], "reads": ["flights"]},
            }
        ],
    )
    tables: TablesSpec = Field(
        default_factory=TablesSpec,
        description="Where tables are and what computes on them.",
        examples=[{"engine": "pandas"}],
    )
    spark: SparkSpec = Field(
        default_factory=SparkSpec,
        description="Where Spark computes, and how the server of this machine is set up.",
        examples=[{"remote": "sc://spark.example.com:15002"}],
    )
    tracking: TrackingSpec = Field(
        default_factory=TrackingSpec,
        description="Where MLflow records runs and models.",
        examples=[{"experiment": "flightdelay", "registered_model": "flight_delay"}],
    )
    gate: list[GateSpec] = Field(
        default_factory=list,
        description="The rules of the validation gate, passed to the stage whose notebook declares a parameter `gate`.",
        examples=[[{"metric": "roc_auc", "threshold": 0.62}, {"metric": "log_loss", "better_than": "baseline"}]],
    )
    notifications: NotificationsSpec = Field(
        default_factory=NotificationsSpec,
        description="When to send notices. The addresses are in the environment variable `STAGEBOOK_NOTIFY_URLS`.",
        examples=[{"on": ["failure"]}],
    )
    profiles: dict[Name, ProfileSpec] = Field(
        default_factory=dict,
        description="Workload profiles by name: the clusters that stages would run on, in Databricks' terms.",
        examples=[{"train": {"node_type_id": "r5.4xlarge", "num_workers": 0}}],
    )
    schedule: ScheduleSpec | None = Field(
        default=None,
        description="When the Databricks job starts by itself. In a development target the schedule is paused.",
        examples=[{"quartz_cron_expression": "0 30 2 * * ?", "timezone_id": "UTC"}],
    )
    queue: QueueSpec | None = Field(
        default=None,
        description="Whether a run of the Databricks job waits for another run.",
        examples=[{"enabled": True}],
    )
    max_concurrent_runs: int | None = Field(
        default=None, ge=1, le=1000, description="How many runs of the Databricks job may run at once.", examples=[1]
    )
    databricks: DatabricksSpec = Field(
        default_factory=DatabricksSpec,
        description="The pipeline as a Databricks job.",
        examples=[{"catalog": "main", "schema": "flightdelay", "volume": "stagebook"}],
    )
    pools: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Resources that all runs of this user on this machine share, with their sizes. Runs get them in the"
        " order of asking, but those of sweeps and of the queue let others go first until their deadline.",
        examples=[{"spark": 1, "memory_gb": 12}],
    )
    cost: CostSpec = Field(
        default_factory=CostSpec,
        description="Where computing is bought, and at which prices.",
        examples=[{"cloud": "AWS", "tier": "PREMIUM", "discount": 0.1}],
    )
    budget: BudgetSpec = Field(
        default_factory=BudgetSpec,
        description="What the pipeline may cost; a run that is expected to exceed it is not started (exit status 3).",
        examples=[{"max_usd_per_run": 5, "max_usd_per_month": 200}],
    )
    runs_dir: FilePath = Field(
        default="runs",
        description="Folder of the run records. `STAGEBOOK_RUNS_DIR` and `--runs-dir` replace it.",
        examples=["/data/runs"],
    )
    warehouse: FilePath = Field(
        default="warehouse",
        description="Folder of tables, files and tracking data. `STAGEBOOK_WAREHOUSE` and `--warehouse` replace it.",
        examples=["/data/warehouse"],
    )
