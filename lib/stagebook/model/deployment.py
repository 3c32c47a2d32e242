"""Settings of a pipeline as a Databricks job, resolved per target."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["development", "production"]


@dataclass(frozen=True)
class ClusterProfile:
    """The compute of the stages of one profile.

    `workers` is a number (0: a single node) or the bounds of autoscaling. `spot` applies to the workers; the driver
    is always on demand. `serverless` means no cluster at all.
    """

    node_type_id: str | None = None
    driver_node_type_id: str | None = None
    workers: int | tuple[int, int] = 0
    serverless: bool = False
    spot: bool = False
    photon: bool = False

    @property
    def single_node(self) -> bool:
        """Whether the cluster never has workers."""
        return self.workers == 0


@dataclass(frozen=True)
class Target:
    """A workspace to deploy to, and how. Tables are `catalog.schema.name`, files are in the volume."""

    name: str
    mode: Mode
    host: str | None = None
    root_path: str | None = None
    catalog: str | None = None
    schema: str | None = None
    volume: str | None = None
    run_as: Mapping[str, str] | None = None
    permissions: tuple[Mapping[str, str], ...] = ()
    profiles: Mapping[str, ClusterProfile] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """When the job starts by itself. The Quartz expression has seconds first, and `?` for one of the two days."""

    quartz_cron_expression: str
    timezone_id: str = "UTC"
    paused: bool = False


@dataclass(frozen=True)
class ServingEndpoint:
    """A model serving endpoint for the champion. It serves `version` unless a deployment sets another."""

    name: str
    version: str | None = None
    workload_size: str = "Small"
    workload_type: str = "CPU"
    scale_to_zero_enabled: bool = True


@dataclass(frozen=True)
class Deployment:
    """The job around the stages.

    `packages` are folders of Python packages, from the project's root, that the wheel contains; `requirements` are what
    the runtime lacks. `email_notifications` maps an event (`on_failure`) to addresses, `webhook_notifications` to ids
    of notification destinations. `sweeps` are jobs of their own: name → how many configurations run at once. `job` and
    `bundle` are merge patches (RFC 7386) to the derived job and bundle.
    """

    targets: Mapping[str, Target] = field(default_factory=lambda: {"dev": Target("dev", "development")})
    spark_version: str = "17.3.x-cpu-ml-scala2.13"
    cloud: Literal["aws", "azure", "gcp"] = "aws"
    data_security_mode: str = "DATA_SECURITY_MODE_DEDICATED"
    cluster_per_task: bool = False
    execute_with: Literal["notebook", "papermill"] = "notebook"
    attribution: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    environment_version: str = "4"
    performance_target: str = "STANDARD"
    email_notifications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    webhook_notifications: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    run_duration_seconds: int | None = None
    schedule: Schedule | None = None
    queue: bool | None = None
    max_concurrent_runs: int | None = None
    serving_endpoint: ServingEndpoint | None = None
    sweeps: Mapping[str, int] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    bundle: Mapping[str, Any] = field(default_factory=dict)
