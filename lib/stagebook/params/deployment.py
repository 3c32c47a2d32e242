"""From the spec to the `Deployment` of a checked pipeline, and what must hold for it."""

from collections.abc import Iterator, Mapping

from stagebook.errors import did_you_mean
from stagebook.model.deployment import ClusterProfile, Deployment, Schedule, ServingEndpoint, Target
from stagebook.params import prices
from stagebook.params.databricks_spec import DatabricksProfileSpec, TargetSpec
from stagebook.params.findings import Finding
from stagebook.params.merge import Merged
from stagebook.params.spec import PipelineSpec, ProfileSpec


def deployment(spec: PipelineSpec) -> Deployment:
    """What the parameter file says of the pipeline as a job, with each target's profiles resolved."""
    given, schedule = spec.databricks, spec.schedule
    return Deployment(
        targets={name: _target(name, target, spec) for name, target in given.targets.items()},
        spark_version=given.spark_version,
        cloud=given.cloud,
        data_security_mode=given.data_security_mode,
        cluster_per_task=given.job_clusters == "per_task",
        execute_with=given.execute_with,
        attribution=given.attribution,
        tags=dict(given.tags),
        packages=tuple(given.packages),
        requirements=tuple(given.requirements),
        environment_version=given.environment_version,
        performance_target=given.performance_target,
        notices={event: tuple(addresses) for event, addresses in given.email_notifications.items()},
        webhooks={event: tuple(ids) for event, ids in given.webhook_notifications.items()},
        run_duration_seconds=given.run_duration_seconds,
        schedule=schedule
        and Schedule(schedule.quartz_cron_expression, schedule.timezone_id, schedule.pause_status == "PAUSED"),
        queue=spec.queue and spec.queue.enabled,
        max_concurrent_runs=spec.max_concurrent_runs,
        serving_endpoint=given.serving_endpoint and ServingEndpoint(**given.serving_endpoint.model_dump()),
        job=given.job,
        bundle=given.bundle,
    )


def _target(name: str, target: TargetSpec, spec: PipelineSpec) -> Target:
    given = spec.databricks
    return Target(
        name=name,
        mode=target.mode or ("production" if name == "prod" else "development"),
        host=target.host,
        root_path=target.root_path,
        catalog=target.catalog or given.catalog,
        schema=target.schema_name or given.schema_name,
        volume=target.volume or given.volume,
        run_as=target.run_as and target.run_as.model_dump(exclude_none=True),
        permissions=tuple(permission.model_dump(exclude_none=True) for permission in target.permissions),
        profiles={
            profile: cluster_profile(base, given.profiles.get(profile), target.profiles.get(profile))
            for profile, base in spec.profiles.items()
        },
    )


def cluster_profile(base: ProfileSpec, *layers: DatabricksProfileSpec | None) -> ClusterProfile:
    """What a profile computes on: the general profile with what Databricks and the target say laid over it.

    A layer that gives a size, fixed or by bounds, replaces the size below it; no size at all is a single node.
    """
    node, driver, workers = base.node_type_id, base.driver_node_type_id, _workers(base)
    priced = prices.cluster(base)
    serverless, spot, photon = base.compute == "serverless", priced.on_demand_nodes is not None, priced.photon
    for layer in (layer for layer in layers if layer is not None):
        node, driver = layer.node_type_id or node, layer.driver_node_type_id or driver
        workers = _workers(layer) if _workers(layer) is not None else workers
        serverless = layer.serverless if layer.serverless is not None else serverless
        spot = layer.spot if layer.spot is not None else spot
        photon = layer.photon if layer.photon is not None else photon
    return ClusterProfile(node, driver, workers or 0, serverless, spot, photon)


def _workers(spec: ProfileSpec | DatabricksProfileSpec) -> int | tuple[int, int] | None:
    if spec.autoscale is not None:
        return spec.autoscale.min_workers, spec.autoscale.max_workers
    return spec.num_workers


def findings(spec: PipelineSpec, merged: Merged) -> Iterator[Finding]:
    """What the sections for Databricks say that cannot be meant."""
    yield from _profiles(spec, merged, ("databricks", "profiles"), spec.databricks.profiles)
    for name, target in spec.databricks.targets.items():
        yield from _profiles(spec, merged, ("databricks", "targets", name, "profiles"), target.profiles)
    resolved = {name: _target(name, target, spec) for name, target in spec.databricks.targets.items()}
    first = next(iter(resolved.values()))
    if spec.databricks.serving_endpoint is not None:
        yield from _served(spec, merged, resolved)
    for name, target in resolved.items():
        for profile, cluster in target.profiles.items():
            if _kind(cluster) != _kind(first.profiles[profile]):
                key = ("databricks", "targets", name, "profiles", profile)
                what = (
                    f"this is {_kind(cluster)}, and {_kind(first.profiles[profile])} in target '{first.name}':"
                    " a target of a bundle can change values, not take keys away."
                )
                yield Finding(merged.where(key), ".".join(key), what)


def _served(spec: PipelineSpec, merged: Merged, targets: Mapping[str, Target]) -> Iterator[Finding]:
    """An endpoint serves a model of Unity Catalog, whose name has three levels."""
    key = ("databricks", "serving_endpoint")
    for name, target in targets.items():
        if not (target.catalog and target.schema) and "." not in spec.tracking.registered_model:
            what = f"target '{name}' has no catalog and schema, so its model has no three-level name to be served by."
            yield Finding(merged.where(key), ".".join(key), what)


def _profiles(
    spec: PipelineSpec, merged: Merged, at: tuple[str, ...], given: Mapping[str, DatabricksProfileSpec]
) -> Iterator[Finding]:
    for profile in given:
        key = (*at, profile)
        if profile not in spec.profiles:
            what = f"there is no profile '{profile}'.{did_you_mean(profile, list(spec.profiles))}"
            yield Finding(merged.where(key), ".".join(key), what, ", ".join(spec.profiles) or "none")


def _kind(cluster: ClusterProfile) -> str:
    if cluster.serverless:
        return "serverless"
    size = "autoscaled" if isinstance(cluster.workers, tuple) else "a single node" if cluster.single_node else "fixed"
    extra = " with a driver type" if cluster.driver_node_type_id else ""
    return size + extra + (" on spot" if cluster.spot else "")
