"""What a parameter file may say about the pipeline as a Databricks job. Keys carry Databricks' own names."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from stagebook import quartz
from stagebook.params.basics import AutoscaleSpec, Name, Strict

Level = Literal["CAN_VIEW", "CAN_RUN", "CAN_MANAGE"]
Event = Literal["on_start", "on_success", "on_failure", "on_duration_warning_threshold_exceeded"]
Principals = ("user_name", "group_name", "service_principal_name")


class ScheduleSpec(Strict):
    """When the job starts by itself; paused wherever a target is for development."""

    quartz_cron_expression: str = Field(description="`seconds minutes hours day month weekday`, one day `?`")
    timezone_id: str = Field(default="UTC", description="time zone of the expression, such as Europe/Berlin")
    pause_status: Literal["UNPAUSED", "PAUSED"] = Field(default="UNPAUSED", description="whether it is held")

    @field_validator("quartz_cron_expression")
    @classmethod
    def _is_quartz(cls, expression: str) -> str:
        if why := quartz.fault(expression):
            raise ValueError(why.rstrip("."))
        return expression

    @field_validator("timezone_id")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        from zoneinfo import available_timezones

        if zone not in available_timezones():
            raise ValueError("this is not a time zone such as UTC or Europe/Berlin")
        return zone


class QueueSpec(Strict):
    """What happens to a run that may not start at once."""

    enabled: bool = Field(default=True, description="whether it waits instead of being skipped")


class PrincipalSpec(Strict):
    """One user, group or service principal."""

    user_name: str | None = Field(default=None, description="a user, by address")
    group_name: str | None = Field(default=None, description="a group")
    service_principal_name: str | None = Field(default=None, description="a service principal, by application id")

    @model_validator(mode="after")
    def _one(self) -> "PrincipalSpec":
        if sum(getattr(self, name) is not None for name in Principals) != 1:
            raise ValueError(f"exactly one of {', '.join(Principals)} is given")
        return self


class PermissionSpec(PrincipalSpec):
    """Who may do what with what the bundle makes."""

    level: Level = Field(description="what is allowed")


class DatabricksProfileSpec(Strict):
    """What a profile is on Databricks, laid over the profile of the same name."""

    node_type_id: str | None = Field(default=None, description="node type of the workers")
    driver_node_type_id: str | None = Field(default=None, description="node type of the driver")
    num_workers: int | None = Field(default=None, ge=0, description="workers; 0 is a single node")
    autoscale: AutoscaleSpec | None = Field(default=None, description="bounds instead of `num_workers`")
    spot: bool | None = Field(default=None, description="workers from the spot market; the driver stays on demand")
    photon: bool | None = Field(default=None, description="the Photon engine, which about doubles the DBU rate")
    serverless: bool | None = Field(default=None, description="no cluster: serverless compute")


class TargetSpec(Strict):
    """One workspace and way to deploy to it; what it leaves out is as under `databricks`."""

    mode: Literal["development", "production"] | None = Field(
        default=None, description="default: production for a target named prod, else development"
    )
    host: str | None = Field(default=None, pattern=r"^https://", description="address of the workspace")
    root_path: str | None = Field(default=None, description="folder in the workspace that the bundle goes to")
    catalog: str | None = Field(default=None, description="Unity Catalog's catalog of the tables")
    schema_name: str | None = Field(default=None, alias="schema", description="schema of the tables")
    volume: str | None = Field(default=None, description="volume of the files, in the same schema")
    run_as: PrincipalSpec | None = Field(default=None, description="who the job runs as")
    permissions: list[PermissionSpec] = Field(default_factory=list, description="who may do what with it")
    profiles: dict[Name, DatabricksProfileSpec] = Field(
        default_factory=dict, description="node types and sizes in this target"
    )


class ServingEndpointSpec(Strict):
    """A model serving endpoint for the champion, beside the job."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", description="name of the endpoint")
    version: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]*$", description="version to serve; null: each deployment must say it"
    )
    workload_size: str = Field(default="Small", description="`Small`, `Medium`, `Large`, or one of the workspace's own")
    workload_type: str = Field(default="CPU", description="`CPU`, `GPU_SMALL`, …")
    scale_to_zero_enabled: bool = Field(default=True, description="no compute while nobody asks")


def _default_targets() -> dict[str, TargetSpec]:
    return {"dev": TargetSpec(), "prod": TargetSpec()}


class DatabricksSpec(Strict):
    """The pipeline as a Databricks job."""

    spark_version: str = Field(default="17.3.x-cpu-ml-scala2.13", description="runtime of the clusters")
    cloud: Literal["aws", "azure", "gcp"] = Field(default="aws", description="whose nodes they are")
    data_security_mode: str = Field(default="DATA_SECURITY_MODE_DEDICATED", description="access mode of the clusters")
    job_clusters: Literal["shared", "per_task"] = Field(
        default="shared", description="one cluster a profile, started once; or one a stage"
    )
    catalog: str | None = Field(default=None, description="Unity Catalog's catalog of the tables")
    schema_name: str | None = Field(default=None, alias="schema", description="schema of the tables")
    volume: str | None = Field(default=None, description="volume of the files, in the same schema")
    packages: list[str] = Field(default_factory=list, description="folders of Python packages for the wheel")
    requirements: list[str] = Field(
        default_factory=list, description="what the runtime lacks; a bare name gets the version installed here"
    )
    execute_with: Literal["notebook", "papermill"] = Field(
        default="notebook", description="each stage as a notebook task, or through papermill, which keeps it executed"
    )
    environment_version: str = Field(default="4", description="serverless environment")
    performance_target: Literal["STANDARD", "PERFORMANCE_OPTIMIZED"] = Field(
        default="STANDARD", description="serverless: cheap, or started at once"
    )
    attribution: bool = Field(default=True, description="tag job and clusters with pipeline and profile, for bills")
    tags: dict[str, str] = Field(default_factory=dict, max_length=25, description="more tags of the job")
    email_notifications: dict[Event, list[str]] = Field(default_factory=dict, description="event → addresses")
    webhook_notifications: dict[Event, Annotated[list[str], Field(max_length=3)]] = Field(
        default_factory=dict, description="event → ids of notification destinations, at most 3"
    )
    run_duration_seconds: int | None = Field(default=None, ge=1, description="a longer run gives a warning")
    profiles: dict[Name, DatabricksProfileSpec] = Field(
        default_factory=dict, description="what the profiles are on Databricks"
    )
    serving_endpoint: ServingEndpointSpec | None = Field(
        default=None, description="a model serving endpoint for the champion"
    )
    targets: dict[Name, TargetSpec] = Field(
        default_factory=_default_targets, min_length=1, description="where it can be deployed to"
    )
    job: dict[str, Any] = Field(
        default_factory=dict, description="merge patch over the derived job; tasks, job_clusters, … by key"
    )
    bundle: dict[str, Any] = Field(default_factory=dict, description="merge patch over databricks.yml")
