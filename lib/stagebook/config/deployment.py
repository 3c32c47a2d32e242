"""The `Deployment` of a checked pipeline, made from the sections for Databricks, and the checks of these."""

from collections.abc import Iterator, Mapping

from stagebook.config import prices
from stagebook.config.cost_spec import ProfileSpec
from stagebook.config.databricks_spec import DatabricksProfileSpec, TargetSpec
from stagebook.config.findings import Finding
from stagebook.config.merge import Merged
from stagebook.config.spec import PipelineSpec
from stagebook.errors import did_you_mean
from stagebook.model.deployment import ClusterProfile, Deployment, Schedule, ServingEndpoint, Target


def deployment(spec: PipelineSpec) -> Deployment:
    """The pipeline as a Databricks job, with each target's profiles resolved."""
    section, schedule = spec.databricks, spec.schedule
    return Deployment(
        targets={name: _target(name, target, spec) for name, target in section.targets.items()},
        spark_version=section.spark_version,
        cloud=section.cloud,
        data_security_mode=section.data_security_mode,
        cluster_per_task=section.job_clusters == "per_task",
        execute_with=section.execute_with,
        attribution=section.attribution,
        tags=dict(section.tags),
        packages=tuple(section.packages),
        requirements=tuple(section.requirements),
        environment_version=section.environment_version,
        performance_target=section.performance_target,
        email_notifications={event: tuple(addresses) for event, addresses in section.email_notifications.items()},
        webhook_notifications={event: tuple(ids) for event, ids in section.webhook_notifications.items()},
        run_duration_seconds=section.run_duration_seconds,
        schedule=schedule
        and Schedule(schedule.quartz_cron_expression, schedule.timezone_id, schedule.pause_status == "PAUSED"),
        queue=spec.queue and spec.queue.enabled,
        max_concurrent_runs=spec.max_concurrent_runs,
        serving_endpoint=section.serving_endpoint and ServingEndpoint(**section.serving_endpoint.model_dump()),
        sweeps=dict(section.sweeps),
        job=section.job,
        bundle=section.bundle,
    )


def _target(name: str, target: TargetSpec, spec: PipelineSpec) -> Target:
    section = spec.databricks
    return Target(
        name=name,
        mode=target.mode or ("production" if name == "prod" else "development"),
        host=target.host,
        root_path=target.root_path,
        catalog=target.catalog or section.catalog,
        schema=target.schema_name or section.schema_name,
        volume=target.volume or section.volume,
        run_as=target.run_as and target.run_as.model_dump(exclude_none=True),
        permissions=tuple(permission.model_dump(exclude_none=True) for permission in target.permissions),
        profiles={
            profile: cluster_profile(base, section.profiles.get(profile), target.profiles.get(profile))
            for profile, base in spec.profiles.items()
        },
    )


def cluster_profile(base: ProfileSpec, *layers: DatabricksProfileSpec | None) -> ClusterProfile:
    """The cluster of a profile: the general profile, with those of `databricks` and of the target laid over it.

    A layer with a size, fixed or by bounds, replaces the size below it; without any size it is a single node.
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


def check(spec: PipelineSpec, merged: Merged) -> Iterator[Finding]:
    """Findings in the sections for Databricks."""
    yield from _unknown_profiles(spec, merged, ("databricks", "profiles"), spec.databricks.profiles)
    for name, target in spec.databricks.targets.items():
        yield from _unknown_profiles(spec, merged, ("databricks", "targets", name, "profiles"), target.profiles)
    targets = {name: _target(name, target, spec) for name, target in spec.databricks.targets.items()}
    if spec.databricks.serving_endpoint is not None:
        yield from _unservable_models(spec, merged, targets)
    yield from _incompatible_clusters(merged, targets)


def _incompatible_clusters(merged: Merged, targets: Mapping[str, Target]) -> Iterator[Finding]:
    """A profile has the same kind of cluster in all targets, as a bundle's job has one set of keys."""
    reference = next(iter(targets.values()))
    for name, target in targets.items():
        for profile, cluster in target.profiles.items():
            kind, reference_kind = _kind(cluster), _kind(reference.profiles[profile])
            if kind != reference_kind:
                key = ("databricks", "targets", name, "profiles", profile)
                message = (
                    f"this is {kind}, and {reference_kind} in target '{reference.name}':"
                    " a target of a bundle can change values, not take keys away."
                )
                yield Finding(merged.where(key), ".".join(key), message)


def _unservable_models(spec: PipelineSpec, merged: Merged, targets: Mapping[str, Target]) -> Iterator[Finding]:
    """An endpoint serves a model of Unity Catalog, whose name has three levels."""
    key = ("databricks", "serving_endpoint")
    for name, target in targets.items():
        if not (target.catalog and target.schema) and "." not in spec.tracking.registered_model:
            message = (
                f"target '{name}' has no catalog and schema, so its model has no three-level name to be served by."
            )
            yield Finding(merged.where(key), ".".join(key), message)


def _unknown_profiles(
    spec: PipelineSpec, merged: Merged, at: tuple[str, ...], profiles: Mapping[str, DatabricksProfileSpec]
) -> Iterator[Finding]:
    for profile in profiles:
        key = (*at, profile)
        if profile not in spec.profiles:
            message = f"there is no profile '{profile}'.{did_you_mean(profile, list(spec.profiles))}"
            yield Finding(merged.where(key), ".".join(key), message, ", ".join(spec.profiles) or "none")


def _kind(cluster: ClusterProfile) -> str:
    if cluster.serverless:
        return "serverless"
    size = "autoscaled" if isinstance(cluster.workers, tuple) else "a single node" if cluster.single_node else "fixed"
    driver = " with a driver type" if cluster.driver_node_type_id else ""
    return size + driver + (" on spot" if cluster.spot else "")
