"""What a parameter file may say: the pydantic models that the merged mapping must fit.

Keys carry Databricks' names wherever Databricks has one. A model's docstring and field descriptions
are the reference that the README's table is checked against.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from stagebook.model.gate import Metric
from stagebook.model.pipeline import RunIf
from stagebook.model.pricing import Compute
from stagebook.params.basics import AutoscaleSpec, Name, Strict
from stagebook.params.databricks_spec import DatabricksSpec, QueueSpec, ScheduleSpec

EngineChoice = Literal["auto", "pandas", "polars", "spark"]
Work = Literal["scan", "join", "aggregate", "window", "fit"]
Event = Literal["success", "failure", "gate_refused", "interrupted"]


class RetrySpec(Strict):
    """How a stage is attempted and retried; in `defaults` for all stages, in a stage for that one."""

    max_retries: int | None = Field(default=None, ge=0, le=100, description="attempts after the first")
    min_retry_interval_millis: int | None = Field(
        default=None, ge=0, description="wait before the first retry; doubles with each, with jitter"
    )
    timeout_seconds: float | None = Field(default=None, ge=0, description="limit of one attempt; 0 means none")
    retry_on_timeout: bool | None = Field(
        default=None, description="whether an attempt that ran out of time is retried"
    )
    kernel: Literal["auto", "cold"] | None = Field(
        default=None, description="`auto`: forked from the kernel host where that can be; `cold`: started afresh"
    )


Condition = Annotated[tuple[str, Literal["=", "!=", "<", "<=", ">", ">=", "in"], Any], Field(strict=False)]


class ReadSpec(Strict):
    """What a stage needs of a table; says how much it is, for the choice of an engine."""

    columns: list[str] | None = Field(default=None, min_length=1, description="the columns that are read; default: all")
    where: list[Condition] = Field(default_factory=list, description='conditions such as `[month, "=", 12]`')


def _whole(reads: Any) -> Any:
    """A list of names as tables that are read whole."""
    named = isinstance(reads, list) and all(isinstance(name, str | int) for name in reads)
    return {name: {} for name in reads} if named else reads


class StageSpec(RetrySpec):
    """One stage: a notebook with its place in the graph."""

    notebook: str = Field(description="path of the notebook, from the project's root")
    depends_on: list[str] = Field(default_factory=list, description="stages that must end first")
    parameters: dict[str, Any] = Field(default_factory=dict, description="values for the parameters cell")
    reads: Annotated[dict[Name, ReadSpec], BeforeValidator(_whole)] = Field(
        default_factory=dict, description="tables that the stage reads, pinned for the run; or what it needs of each"
    )
    writes: list[Name] = Field(default_factory=list, description="tables that the stage must have written")
    run_if: RunIf = Field(
        default=RunIf.ALL_SUCCESS, strict=False, description="how the upstream stages must have ended"
    )
    only_if: str | None = Field(
        default=None, description="reference to a scrap; the stage is skipped unless it is true"
    )
    profile: str | None = Field(default=None, description="workload profile: what the stage would run on")
    engine: EngineChoice | None = Field(default=None, description="what computes on this stage's tables")
    reuse: Literal["auto", "never"] = Field(
        default="auto", description="whether the result of an earlier run may stand for it, where nothing has changed"
    )
    idempotent: bool | None = Field(
        default=None, description="false: doing it twice is not the same as once, so a failed attempt is not retried"
    )
    pools: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="what the stage takes of pools while it runs"
    )
    work: list[Work] = Field(default_factory=list, description="kinds of work it does, each as often as it does it")


class TablesSpec(Strict):
    """Where tables live and what computes on them."""

    root: str | None = Field(default=None, description="folder of the Delta tables; default: `tables` in the warehouse")
    engine: EngineChoice = Field(default="auto", description="what computes on tables")
    external: dict[Name, str] = Field(
        default_factory=dict, description="tables of others by name: the folder; read only"
    )


class SparkSpec(Strict):
    """Where Spark computes, and how the server of this machine is set up."""

    remote: str | None = Field(
        default=None,
        pattern=r"^(sc://.+|spark://.+|databricks)$",
        description="null: a server of this machine; `sc://host:port`; `spark://host:port`; `databricks`",
    )
    conf: dict[str, str] = Field(default_factory=dict, description="settings of the server of this machine")


class TrackingSpec(Strict):
    """Where MLflow records runs and models."""

    uri: str | None = Field(default=None, description="tracking URI; default: `mlflow.db` in the warehouse")
    experiment: str = Field(default="stagebook", description="MLflow experiment")
    registered_model: str = Field(default="model", description="name in the model registry")


class GateSpec(Strict):
    """One rule of the validation gate: a metric against a threshold, the baseline or the champion."""

    metric: Metric = Field(description="figure on the hold-out")
    threshold: float | None = Field(default=None, description="bound that the figure must reach")
    better_than: Literal["baseline", "champion"] | None = Field(default=None, description="model that must be matched")
    slices: list[str] = Field(default_factory=list, description="columns whose every value must pass by itself")
    min_slice_rows: int = Field(default=0, ge=0, description="smaller slices are not judged")

    @model_validator(mode="after")
    def _one_bound(self) -> "GateSpec":
        if (self.threshold is None) == (self.better_than is None):
            raise ValueError("a rule has either `threshold` or `better_than`")
        return self


class NotificationsSpec(Strict):
    """When to send notices; where to is in the environment: STAGEBOOK_NOTIFY_URLS."""

    on: list[Event] = Field(
        default_factory=lambda: ["success", "failure", "gate_refused", "interrupted"],
        description="ends of a run that are told",
    )


def _exact(value: Any) -> Any:
    """A number of a parameter file as the decimal that was written."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


Exact = Annotated[Decimal, BeforeValidator(_exact)]


class AwsSpec(Strict):
    """Which machines of a cluster may be spot ones, on AWS."""

    availability: Literal["ON_DEMAND", "SPOT", "SPOT_WITH_FALLBACK"] = Field(
        default="ON_DEMAND", description="spot machines cost `cost.spot_factor` of their price"
    )
    first_on_demand: int = Field(default=1, ge=0, description="so many nodes, the driver first, are not spot")


class AzureSpec(Strict):
    """Which machines of a cluster may be spot ones, on Azure."""

    availability: Literal["ON_DEMAND_AZURE", "SPOT_AZURE", "SPOT_WITH_FALLBACK_AZURE"] = Field(
        default="ON_DEMAND_AZURE", description="spot machines cost `cost.spot_factor` of their price"
    )
    first_on_demand: int = Field(default=1, ge=0, description="so many nodes, the driver first, are not spot")


class ProfileSpec(Strict):
    """A workload profile: the cluster that a stage would run on."""

    node_type_id: str | None = Field(default=None, description="node type of the workers; none: this machine")
    driver_node_type_id: str | None = Field(default=None, description="node type of the driver; default: the workers'")
    num_workers: int | None = Field(default=None, ge=0, description="workers; 0 (default) is a single node")
    autoscale: AutoscaleSpec | None = Field(default=None, description="bounds instead of `num_workers`")
    aws_attributes: AwsSpec | None = Field(default=None, description="spot machines on AWS; default: none")
    azure_attributes: AzureSpec | None = Field(default=None, description="spot machines on Azure; default: none")
    runtime_engine: Literal["STANDARD", "PHOTON"] = Field(
        default="STANDARD", description="PHOTON takes `cost.photon_factor` times the DBU"
    )
    compute: Compute = Field(
        default=Compute.JOBS, strict=False, description="how it is billed: `jobs`, `all_purpose` or `serverless`"
    )
    dbu_per_hour: Exact | None = Field(default=None, gt=0, description="what serverless compute is taken to use")
    startup_minutes: Exact = Field(default=Decimal(5), ge=0, description="until a cluster is up; serverless: none")
    autotermination_minutes: int | None = Field(default=None, ge=0, description="idle minutes until it stops by itself")
    custom_tags: dict[str, str] = Field(default_factory=dict, description="of the cluster; costs are told by them")
    driver_memory_gb: float | None = Field(
        default=None, gt=0, description="heap of the Spark server of this machine; default: a third of its memory"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "ProfileSpec":
        if self.num_workers is not None and self.autoscale is not None:
            raise ValueError("a profile has either `num_workers` or `autoscale`; set the other one to null")
        if self.aws_attributes is not None and self.azure_attributes is not None:
            raise ValueError("a profile has either `aws_attributes` or `azure_attributes`")
        if self.compute is Compute.SERVERLESS and (self.node_type_id is not None or self.dbu_per_hour is None):
            raise ValueError("serverless compute has `dbu_per_hour` and no `node_type_id`")
        return self


class CostSpec(Strict):
    """What computing costs: where one buys, at which prices. Sources of the factors: lib/README.md."""

    cloud: Literal["AWS", "AZURE"] = Field(default="AWS", description="whose machines")
    tier: Literal["STANDARD", "PREMIUM", "ENTERPRISE"] = Field(default="PREMIUM", description="of the workspace")
    region: str | None = Field(default=None, description="of serverless SKUs; null: the first that the book has")
    prices: list[str] = Field(
        default_factory=list, description="CSV files of your own, with the columns of `params/prices/*.csv`; they win"
    )
    discount: Exact = Field(default=Decimal(0), ge=0, lt=1, description="negotiated share off the price of a DBU")
    photon_factor: Exact = Field(default=Decimal("2.0"), ge=1, description="DBU with Photon against without")
    spot_factor: Exact = Field(default=Decimal("0.4"), gt=0, le=1, description="price of a spot machine, as a share")


class BudgetSpec(Strict):
    """What the pipeline may cost; whatever would exceed it is not started."""

    max_usd_per_run: Exact | None = Field(default=None, ge=0, description="one run, resumptions included; `--max-cost`")
    max_usd_per_month: Exact | None = Field(
        default=None, ge=0, description="all runs of the pipeline in this `runs_dir` in a calendar month, UTC"
    )


class PipelineSpec(Strict):
    """The whole of a merged parameter file."""

    pipeline: Name = Field(default="pipeline", description="name of the pipeline")
    parameters: dict[str, Any] = Field(default_factory=dict, description="reach each stage that declares the name")
    defaults: RetrySpec = Field(default_factory=RetrySpec, description="retry policy of all stages")
    stages: dict[Name, StageSpec] = Field(min_length=1, description="the stages, by name")
    tables: TablesSpec = Field(default_factory=TablesSpec, description="see TablesSpec")
    spark: SparkSpec = Field(default_factory=SparkSpec, description="see SparkSpec")
    tracking: TrackingSpec = Field(default_factory=TrackingSpec, description="see TrackingSpec")
    gate: list[GateSpec] = Field(default_factory=list, description="handed to the stage that declares `gate`")
    notifications: NotificationsSpec = Field(default_factory=NotificationsSpec, description="see NotificationsSpec")
    profiles: dict[Name, ProfileSpec] = Field(default_factory=dict, description="workload profiles by name")
    schedule: ScheduleSpec | None = Field(default=None, description="when the Databricks job starts by itself")
    queue: QueueSpec | None = Field(default=None, description="whether a run of the job waits for another")
    max_concurrent_runs: int | None = Field(default=None, ge=1, le=1000, description="runs of the job at once")
    databricks: DatabricksSpec = Field(default_factory=DatabricksSpec, description="see DatabricksSpec")
    pools: dict[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="sizes of what all runs on this machine share"
    )
    cost: CostSpec = Field(default_factory=CostSpec, description="see CostSpec")
    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="see BudgetSpec")
    runs_dir: str = Field(default="runs", description="folder of the run records")
    warehouse: str = Field(default="warehouse", description="folder of tables, files and tracking data")
