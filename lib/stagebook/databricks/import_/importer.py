"""Turns a Databricks job into the values of a parameter file.

Stages, profiles and settings hold what they can. Everything else becomes a merge patch between the job that an export
would derive from those and the imported one. So an export gives back the imported job, whatever it holds.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeGuard

from stagebook.config.structure import NAME
from stagebook.databricks import merge_patch
from stagebook.databricks.export.bundle import bundle, job_in
from stagebook.databricks.import_.source_job import SourceJob
from stagebook.databricks.import_.stages import JobTasks, parameter_value
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import PriceBook
from stagebook.schedule import quartz

_CLOUDS = ("aws", "azure", "gcp")
_EVENTS = ("on_start", "on_success", "on_failure", "on_duration_warning_threshold_exceeded")


def parameter_file(source: SourceJob, tasks: JobTasks, book: PriceBook) -> dict[str, Any]:
    """What the sections of a parameter file can hold of a job; `patches` gives what is missing.

    Args:
        book: a profile names only node types that it prices, since it may name no others.
    """
    job, stages = source.values, tasks.stages()
    per_task = not job.get("job_clusters") and any("new_cluster" in tasks.by_key[key] for key in stages)
    clusters = _clusters(job, tasks, per_task)
    for key, stage in stages.items():
        profile = key if per_task else tasks.by_key[key].get("job_cluster_key")
        if profile in clusters:
            stage["profile"] = profile
    result: dict[str, Any] = {"pipeline": source.name if NAME.fullmatch(source.name) else "pipeline"}
    if parameters := dict(_parameters(job, stages, tasks)):
        result["parameters"] = parameters
    result["stages"] = stages
    if clusters:
        cloud = _cloud(clusters)
        priced = frozenset(node.node_type_id for node in book.nodes if node.cloud.lower() == cloud)
        result["profiles"] = {key: dict(_size(cluster, priced)) for key, cluster in clusters.items()}
        if cloud == "azure":
            result["cost"] = {"cloud": "AZURE"}
    result |= dict(_job_settings(job))
    result["databricks"] = _databricks(job, clusters, per_task) | dict(_targets(source))
    return result


def patches(source: SourceJob, pipeline: Pipeline) -> dict[str, Any]:
    """The patches that an export of the pipeline needs to give back the job and the bundle: `job` and `bundle`."""
    default = next(iter(pipeline.deployment.targets.values()))
    result: dict[str, Any] = {}
    derived_job = merge_patch.lists_to_mappings(job_in(pipeline, default))
    if job_patch := merge_patch.diff(derived_job, source.values):
        result["job"] = job_patch
    if source.bundle is not None:
        derived_bundle = bundle(pipeline, default)
        expected = _without_job(source.bundle, source.name, source.target)
        expected["include"] = derived_bundle["include"]  # the included files are merged into the source
        if bundle_patch := merge_patch.diff(derived_bundle, expected):
            result["bundle"] = bundle_patch
    return result


def _without_job(bundle_values: Mapping[str, Any], job: str, target: str | None = None) -> dict[str, Any]:
    """The bundle without the job, also in the target that defines it, and without mappings that are empty then."""
    result = dict(bundle_values)
    if target is not None:
        changed = _without_job(result["targets"][target], job)
        result["targets"] = {**result["targets"], target: changed}
    resources = dict(result.pop("resources", {}))
    jobs = {key: values for key, values in resources.pop("jobs", {}).items() if key != job}
    if jobs:
        resources["jobs"] = jobs
    if resources:
        result["resources"] = resources
    return result


def databricks_only(patches: Mapping[str, Any], stages: Mapping[str, Any]) -> list[str]:
    """One line for each task, cluster, the job and the bundle, with the fields that a local run does not support."""
    job_patch = patches.get("job", {})
    lines = []
    for key, task in (job_patch.get("tasks") or {}).items():
        if task is not None and key not in stages:
            lines.append(
                f"task {key} ({task_type(task)}): it is not a stage; a local run starts the stages after it without it"
            )
        elif task is not None and (names := _unsupported_fields(task, stages[key])):
            lines.append(f"task {key}: {', '.join(names)}")
    for key, cluster in (job_patch.get("job_clusters") or {}).items():
        if cluster is not None and (names := _leaves(cluster)):
            lines.append(f"job cluster {key}: {', '.join(names)}")
    settings = {key: value for key, value in job_patch.items() if key not in ("tasks", "job_clusters")}
    if names := _leaves(settings):
        lines.append(f"job: {', '.join(names)}")
    if names := _leaves(patches.get("bundle", {})):
        lines.append(f"bundle: {', '.join(names)}")
    return lines


def task_type(task: Mapping[str, Any]) -> str:
    """The field that says what a task does, such as `sql_task`."""
    return next((name for name in task if name.endswith("_task")), "task")


def _unsupported_fields(task: Mapping[str, Any], stage: Mapping[str, Any]) -> list[str]:
    """What a task's patch sets, without what its stage sets by fields of its own: the notebook, and parameters."""
    supported = {"notebook_task.notebook_path"}
    supported |= {f"notebook_task.base_parameters.{name}" for name in stage.get("parameters", {})}
    return [name for name in _leaves(task) if name not in supported]


def _leaves(patch: Mapping[str, Any], depth: int = 3) -> list[str]:
    """The dotted names that a patch sets, to some depth; names that it removes are not in the source."""
    names = []
    for key, item in patch.items():
        if isinstance(item, Mapping) and item and depth > 1:
            names += [f"{key}.{name}" for name in _leaves(item, depth - 1)]
        elif item is not None:
            names.append(str(key))
    return names


def _clusters(job: Mapping[str, Any], tasks: JobTasks, per_task: bool) -> dict[str, Mapping[str, Any]]:
    """Profile name → definition of its cluster."""
    owners = tasks.by_key if per_task else job.get("job_clusters") or {}
    if not isinstance(owners, Mapping):
        return {}
    return {
        key: owner["new_cluster"]
        for key, owner in owners.items()
        if NAME.fullmatch(key) and isinstance(owner.get("new_cluster"), Mapping)
    }


def _size(cluster: Mapping[str, Any], priced: frozenset[str]) -> Iterator[tuple[str, Any]]:
    for name in ("node_type_id", "driver_node_type_id"):
        if cluster.get(name) in priced:
            yield name, cluster[name]
    scale, workers = cluster.get("autoscale"), cluster.get("num_workers")
    if isinstance(scale, Mapping) and _is_int(scale.get("min_workers")) and _is_int(scale.get("max_workers")):
        if 0 <= scale["min_workers"] <= scale["max_workers"] > 0:
            yield "autoscale", {"min_workers": scale["min_workers"], "max_workers": scale["max_workers"]}
    elif _is_int(workers) and workers >= 0:
        yield "num_workers", workers


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _parameters(job: Mapping[str, Any], stages: Mapping[str, Any], tasks: JobTasks) -> Iterator[tuple[str, Any]]:
    """The job's parameters that some notebook declares, if all notebooks that declare one read the same value."""
    parameters = job.get("parameters")
    declarations = [declared for stage in stages.values() if (declared := tasks.declared(stage["notebook"]))]
    for name, item in parameters.items() if isinstance(parameters, Mapping) else ():
        declaring = [declared for declared in declarations if name in declared]
        if declaring and name.isidentifier() and isinstance(item.get("default"), str):
            values = [parameter_value(name, tasks.by_default(item["default"]), declared) for declared in declaring]
            if values[0] is not None and all(value == values[0] for value in values):
                yield name, values[0]


def _job_settings(job: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    schedule, queue = job.get("schedule"), job.get("queue")
    if isinstance(schedule, Mapping) and not quartz.fault(str(schedule.get("quartz_cron_expression"))):
        fields = {"quartz_cron_expression", "timezone_id", "pause_status"}
        yield "schedule", {key: value for key, value in schedule.items() if key in fields}
    if isinstance(queue, Mapping) and isinstance(queue.get("enabled"), bool):
        yield "queue", {"enabled": queue["enabled"]}
    if _is_int(job.get("max_concurrent_runs")) and 1 <= job["max_concurrent_runs"] <= 1000:
        yield "max_concurrent_runs", job["max_concurrent_runs"]


def _databricks(job: Mapping[str, Any], clusters: Mapping[str, Any], per_task: bool) -> dict[str, Any]:
    section: dict[str, Any] = {"attribution": False}
    for name in ("spark_version", "data_security_mode"):
        values = [cluster[name] for cluster in clusters.values() if isinstance(cluster.get(name), str)]
        if values:
            section[name] = max(values, key=values.count)
    section["cloud"] = _cloud(clusters)
    section |= {"job_clusters": "per_task"} if per_task else {}
    tags = job.get("tags")
    if isinstance(tags, Mapping) and tags and len(tags) <= 25 and all(isinstance(text, str) for text in tags.values()):
        section["tags"] = dict(tags)
    if emails := dict(_destinations(job.get("email_notifications"), lambda item: isinstance(item, str))):
        section["email_notifications"] = emails
    hooks = _destinations(
        job.get("webhook_notifications"), lambda item: isinstance(item, Mapping) and set(item) == {"id"}
    )
    if webhooks := {event: [str(item["id"]) for item in items] for event, items in hooks if len(items) <= 3}:
        section["webhook_notifications"] = webhooks
    match job.get("health"):
        case {"rules": [{"metric": "RUN_DURATION_SECONDS", "value": int(seconds)}]} if seconds > 0:
            section["run_duration_seconds"] = seconds
    if job.get("performance_target") in ("STANDARD", "PERFORMANCE_OPTIMIZED"):
        section["performance_target"] = job["performance_target"]
    profiles = {key: kind for key, cluster in clusters.items() if (kind := _kind(cluster))}
    return section | ({"profiles": profiles} if profiles else {})


def _cloud(clusters: Mapping[str, Mapping[str, Any]]) -> str:
    """The cloud of the clusters, by the attributes that their definitions hold."""
    return next((c for c in _CLOUDS for cluster in clusters.values() if f"{c}_attributes" in cluster), _CLOUDS[0])


def _destinations(notifications: Any, is_valid: Callable[[Any], bool]) -> Iterator[tuple[str, list[Any]]]:
    """Each event of a job's notifications with its destinations, if all of them are valid."""
    for event in _EVENTS:
        items = notifications.get(event) if isinstance(notifications, Mapping) else None
        if isinstance(items, list) and all(map(is_valid, items)):
            yield event, items


def _kind(cluster: Mapping[str, Any]) -> dict[str, bool]:
    by_cloud = [cluster.get(f"{cloud}_attributes") or {} for cloud in _CLOUDS]
    spot = any(str(attributes.get("availability", "")).startswith(("SPOT", "PREEMPTIBLE")) for attributes in by_cloud)
    photon = cluster.get("runtime_engine") == "PHOTON"
    return {name: True for name, on in (("spot", spot), ("photon", photon)) if on}


def _targets(source: SourceJob) -> Iterator[tuple[str, Any]]:
    if source.targets and all(NAME.fullmatch(name) for name in source.targets):
        yield "targets", {name: _target(target) for name, target in source.targets.items()}


def _target(values: Mapping[str, Any]) -> dict[str, Any]:
    workspace = values.get("workspace") or {}
    target = {key: workspace[key] for key in ("host", "root_path") if isinstance(workspace.get(key), str)}
    if not str(target.get("host", "https://")).startswith("https://"):
        del target["host"]
    target |= {key: values[key] for key in ("mode", "run_as") if key in values}
    if values.get("permissions"):
        target["permissions"] = values["permissions"]
    return target
