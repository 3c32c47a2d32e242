"""The models of the sections for the pipeline as a Databricks job. Keys have Databricks' names."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from stagebook.config.cost_spec import AutoscaleSpec
from stagebook.config.structure import Name, Strict
from stagebook.schedule import quartz

Level = Literal["CAN_VIEW", "CAN_RUN", "CAN_MANAGE"]
Event = Literal["on_start", "on_success", "on_failure", "on_duration_warning_threshold_exceeded"]
PRINCIPAL_KEYS = ("user_name", "group_name", "service_principal_name")


class ScheduleSpec(Strict):
    """When the job starts by itself; it is paused in every development target."""

    quartz_cron_expression: str = Field(
        description="When the job starts, as Quartz' `seconds minutes hours day-of-month month day-of-week`, with `?`"
        " for one of the two days.",
        examples=["0 30 2 * * ?"],
    )
    timezone_id: str = Field(default="UTC", description="The time zone of the expression.", examples=["Europe/Berlin"])
    pause_status: Literal["UNPAUSED", "PAUSED"] = Field(
        default="UNPAUSED", description="Whether the schedule is paused.", examples=["PAUSED"]
    )

    @field_validator("quartz_cron_expression")
    @classmethod
    def _is_quartz(cls, expression: str) -> str:
        if reason := quartz.fault(expression):
            raise ValueError(reason.rstrip("."))
        return expression

    @field_validator("timezone_id")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        from zoneinfo import available_timezones

        if zone not in available_timezones():
            raise ValueError("this is not a time zone such as UTC or Europe/Berlin")
        return zone


class QueueSpec(Strict):
    """What happens to a run of the job that may not start at once."""

    enabled: bool = Field(
        default=True, description="Whether the run waits for another one instead of being skipped.", examples=[False]
    )


class PrincipalSpec(Strict):
    """One user, group or service principal."""

    user_name: str | None = Field(default=None, description="A user, by e-mail address.", examples=["ada@example.com"])
    group_name: str | None = Field(default=None, description="A group, by name.", examples=["data-scientists"])
    service_principal_name: str | None = Field(
        default=None,
        description="A service principal, by application id.",
        examples=["6f2c1b1e-3c5e-4a39-9a0a-2d1f5f9a7c11"],
    )

    @model_validator(mode="after")
    def _one_principal(self) -> "PrincipalSpec":
        if sum(getattr(self, key) is not None for key in PRINCIPAL_KEYS) != 1:
            raise ValueError(f"exactly one of {', '.join(PRINCIPAL_KEYS)} is given")
        return self


class PermissionSpec(PrincipalSpec):
    """What one user, group or service principal may do with the job and what belongs to it."""

    level: Level = Field(description="The permission level.", examples=["CAN_VIEW"])


class DatabricksProfileSpec(Strict):
    """Changes to the workload profile of the same name on Databricks."""

    node_type_id: str | None = Field(default=None, description="The node type of the workers.", examples=["r5.4xlarge"])
    driver_node_type_id: str | None = Field(
        default=None, description="The node type of the driver.", examples=["m5.large"]
    )
    num_workers: int | None = Field(
        default=None, ge=0, description="How many workers the cluster has; 0 is a single node.", examples=[4]
    )
    autoscale: AutoscaleSpec | None = Field(
        default=None,
        description="The lowest and highest number of workers, instead of `num_workers`.",
        examples=[{"min_workers": 1, "max_workers": 8}],
    )
    spot: bool | None = Field(
        default=None, description="Whether the workers are spot machines; the driver never is.", examples=[True]
    )
    photon: bool | None = Field(
        default=None,
        description="Whether the cluster uses the Photon engine, which about doubles its DBU.",
        examples=[False],
    )
    serverless: bool | None = Field(
        default=None, description="Whether the stages run on serverless compute instead of a cluster.", examples=[True]
    )


class TargetSpec(Strict):
    """A workspace to deploy to, and how; keys that it does not set are as under `databricks`."""

    mode: Literal["development", "production"] | None = Field(
        default=None,
        description="The bundle's deployment mode. Default: `production` for a target named `prod`, else"
        " `development`.",
        examples=["production"],
    )
    host: str | None = Field(
        default=None,
        pattern=r"^https://",
        description="The address of the workspace.",
        examples=["https://example.cloud.databricks.com"],
    )
    root_path: str | None = Field(
        default=None,
        description="The folder in the workspace to which the bundle is deployed.",
        examples=["/Workspace/Shared/stagebook/flightdelay"],
    )
    catalog: str | None = Field(default=None, description="The Unity Catalog catalog of the tables.", examples=["prod"])
    schema_name: str | None = Field(
        default=None, alias="schema", description="The schema of the tables.", examples=["flightdelay"]
    )
    volume: str | None = Field(
        default=None, description="The volume of the files, in the same schema.", examples=["stagebook"]
    )
    run_as: PrincipalSpec | None = Field(
        default=None,
        description="The user, group or service principal that the job runs as.",
        examples=[{"service_principal_name": "6f2c1b1e-3c5e-4a39-9a0a-2d1f5f9a7c11"}],
    )
    permissions: list[PermissionSpec] = Field(
        default_factory=list,
        description="Who may view, run or manage what is deployed.",
        examples=[[{"level": "CAN_VIEW", "group_name": "data-scientists"}]],
    )
    profiles: dict[Name, DatabricksProfileSpec] = Field(
        default_factory=dict,
        description="Changes to workload profiles in this target.",
        examples=[{"train": {"node_type_id": "r5.8xlarge"}}],
    )


class ServingEndpointSpec(Strict):
    """A model serving endpoint for the champion, deployed with the job."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$",
        description="The name of the endpoint.",
        examples=["flight-delay-champion"],
    )
    version: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]*$",
        description="The model version to serve. Default: every deployment has to name it.",
        examples=["3"],
    )
    workload_size: str = Field(
        default="Small",
        description="The size of the endpoint: `Small`, `Medium`, `Large`, or one of the workspace's own.",
        examples=["Medium"],
    )
    workload_type: str = Field(
        default="CPU", description="The kind of machine, such as `CPU` or `GPU_SMALL`.", examples=["GPU_SMALL"]
    )
    scale_to_zero_enabled: bool = Field(
        default=True, description="Whether the endpoint uses no compute while there are no requests.", examples=[False]
    )


def _default_targets() -> dict[str, TargetSpec]:
    return {"dev": TargetSpec(), "prod": TargetSpec()}


class DatabricksSpec(Strict):
    """The pipeline as a Databricks job: a stage is a task, a profile is a cluster."""

    spark_version: str = Field(
        default="17.3.x-cpu-ml-scala2.13",
        description="The Databricks runtime of the clusters.",
        examples=["16.4.x-cpu-ml-scala2.13"],
    )
    cloud: Literal["aws", "azure", "gcp"] = Field(
        default="aws", description="The cloud whose node types the clusters have.", examples=["azure"]
    )
    data_security_mode: str = Field(
        default="DATA_SECURITY_MODE_DEDICATED",
        description="The access mode of the clusters.",
        examples=["DATA_SECURITY_MODE_STANDARD"],
    )
    job_clusters: Literal["shared", "per_task"] = Field(
        default="shared",
        description="`shared` starts one cluster a profile for all of its stages, `per_task` one cluster a stage.",
        examples=["per_task"],
    )
    catalog: str | None = Field(
        default=None,
        description="The Unity Catalog catalog of the tables, which are named `catalog.schema.name`.",
        examples=["main"],
    )
    schema_name: str | None = Field(
        default=None, alias="schema", description="The schema of the tables.", examples=["flightdelay"]
    )
    volume: str | None = Field(
        default=None, description="The volume of the files, in the same schema.", examples=["stagebook"]
    )
    packages: list[str] = Field(
        default_factory=list,
        description="Folders of Python packages that become the job's wheel.",
        examples=[["lib/flightdelay"]],
    )
    requirements: list[str] = Field(
        default_factory=list,
        description="Packages to install because the runtime lacks them. A name without a version gets the version"
        " that is installed here.",
        examples=[["deltalake", "polars==1.35.2"]],
    )
    execute_with: Literal["notebook", "papermill"] = Field(
        default="notebook",
        description="`notebook` makes each stage a notebook task; `papermill` runs it through papermill and saves the"
        " executed notebook on the volume.",
        examples=["papermill"],
    )
    environment_version: str = Field(
        default="4", description="The environment version of serverless stages.", examples=["3"]
    )
    performance_target: Literal["STANDARD", "PERFORMANCE_OPTIMIZED"] = Field(
        default="STANDARD",
        description="Whether serverless stages are cheap (`STANDARD`) or start at once (`PERFORMANCE_OPTIMIZED`).",
        examples=["PERFORMANCE_OPTIMIZED"],
    )
    attribution: bool = Field(
        default=True,
        description="Whether job and clusters get the tags `pipeline` and `profile`, by which bills can be split.",
        examples=[False],
    )
    tags: dict[str, str] = Field(
        default_factory=dict, max_length=25, description="More tags of the job.", examples=[{"project": "flightdelay"}]
    )
    email_notifications: dict[Event, list[str]] = Field(
        default_factory=dict,
        description="For each event, the e-mail addresses that are notified.",
        examples=[{"on_failure": ["team@example.com"]}],
    )
    webhook_notifications: dict[Event, Annotated[list[str], Field(max_length=3)]] = Field(
        default_factory=dict,
        description="For each event, the ids of at most 3 notification destinations.",
        examples=[{"on_failure": ["1f3a9c52-8c1d-4a60-9a4e-3f1b0c7d2e11"]}],
    )
    run_duration_seconds: int | None = Field(
        default=None, ge=1, description="A run that takes longer, in seconds, sends a warning.", examples=[7200]
    )
    profiles: dict[Name, DatabricksProfileSpec] = Field(
        default_factory=dict,
        description="Changes to the workload profiles of the same names on Databricks.",
        examples=[{"train": {"spot": True}}],
    )
    serving_endpoint: ServingEndpointSpec | None = Field(
        default=None,
        description="A model serving endpoint for the champion.",
        examples=[{"name": "flight-delay-champion"}],
    )
    sweeps: dict[Name, Annotated[int, Field(ge=1, le=100)]] = Field(
        default_factory=dict,
        description="Sweeps of `params/sweeps` that become jobs of their own, with the number of configurations that"
        " run at once.",
        examples=[{"train": 4}],
    )
    targets: dict[Name, TargetSpec] = Field(
        default_factory=_default_targets,
        min_length=1,
        description="The targets that the bundle can be deployed to, by name. Default: `dev` and `prod`.",
        examples=[{"dev": {"catalog": "dev"}, "prod": {"host": "https://example.cloud.databricks.com"}}],
    )
    job: dict[str, Any] = Field(
        default_factory=dict,
        description="A merge patch over the job: `tasks`, `job_clusters`, `parameters` and `environments` are merged by"
        " their keys, and null removes a key.",
        examples=[{"tasks": {"train": {"timeout_seconds": 3600}}}],
    )
    bundle: dict[str, Any] = Field(
        default_factory=dict,
        description="A merge patch over `databricks.yml`; null removes a key.",
        examples=[{"bundle": {"git": {"branch": "main"}}}],
    )
