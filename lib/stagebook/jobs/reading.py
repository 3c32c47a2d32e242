"""A Databricks job in, the values of a parameter file out.

What stages, profiles and settings can say is said by them; all else becomes the merge patch between what an export
would derive from those and the job at hand. So an export gives back the job that was read, whatever it holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from stagebook import quartz
from stagebook.jobs import patch
from stagebook.jobs.bundle import bundle, job_in
from stagebook.jobs.stages import Tasks, known_value
from stagebook.model.pipeline import Pipeline
from stagebook.model.pricing import PriceBook
from stagebook.params.basics import NAME

_CLOUDS = ("aws", "azure", "gcp")
_EVENTS = ("on_start", "on_success", "on_failure", "on_duration_warning_threshold_exceeded")


def native(
    name: str, job: Mapping[str, Any], around: Mapping[str, Any] | None, tasks: Tasks, book: PriceBook
) -> dict[str, Any]:
    """What a parameter file can say of a job by its own sections; `rest` gives what is left.

    Args:
        job: by key (`patch.keyed`), without nulls.
        around: the bundle that it stands in, or None.
        book: a profile names only node types that it prices, since no other is allowed there.
    """
    stages = tasks.stages()
    per_task = not job.get("job_clusters") and any("new_cluster" in tasks.by_key[key] for key in stages)
    clusters = _clusters(job, tasks, per_task)
    for key, stage in stages.items():
        profile = key if per_task else tasks.by_key[key].get("job_cluster_key")
        if profile in clusters:
            stage["profile"] = profile
    result: dict[str, Any] = {"pipeline": name if NAME.fullmatch(name) else "pipeline"}
    if parameters := dict(_parameters(job, stages, tasks)):
        result["parameters"] = parameters
    result["stages"] = stages
    if clusters:
        cloud = _cloud(clusters)
        priced = frozenset(node.node_type_id for node in book.nodes if node.cloud.lower() == cloud)
        result["profiles"] = {key: dict(_size(cluster, priced)) for key, cluster in clusters.items()}
        if cloud == "azure":
            result["cost"] = {"cloud": "AZURE"}
    result |= dict(_of_the_job(job))
    result["databricks"] = _databricks(job, clusters, per_task) | dict(_targets(around))
    return result


def rest(pipeline: Pipeline, name: str, job: Mapping[str, Any], around: Mapping[str, Any] | None) -> dict[str, Any]:
    """The patches that an export of the pipeline needs to give the job, and the bundle, back: `job` and `bundle`."""
    default = next(iter(pipeline.deployment.targets.values()))
    found: dict[str, Any] = {}
    if of_job := patch.diff(patch.keyed(job_in(pipeline, default)), job):
        found["job"] = of_job
    if around is not None:
        wanted = dict(around)
        jobs = {key: other for key, other in wanted.get("resources", {}).get("jobs", {}).items() if key != name}
        others = {key: kind for key, kind in wanted.pop("resources", {}).items() if key != "jobs"}
        if others or jobs:
            wanted["resources"] = others | ({"jobs": jobs} if jobs else {})
        derived = bundle(pipeline, default)
        wanted["include"] = derived["include"]  # what was included is merged by now
        if of_bundle := patch.diff(derived, wanted):
            found["bundle"] = of_bundle
    return found


def variables(around: Mapping[str, Any] | None) -> dict[str, str]:
    """`var.x`, `bundle.name`, `bundle.target` → what they are in the bundle's default target, where that is a text."""
    found = {f"var.{name}": _default_of(told) for name, told in ((around or {}).get("variables") or {}).items()}
    found["bundle.name"] = ((around or {}).get("bundle") or {}).get("name")
    for first, target in list(_in_order((around or {}).get("targets")).items())[:1]:
        found["bundle.target"] = first
        found |= {f"var.{name}": _default_of(told) for name, told in (target.get("variables") or {}).items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _default_of(told: Any) -> Any:
    return told.get("default") if isinstance(told, Mapping) else told


def only_there(patches: Mapping[str, Any], stages: Mapping[str, Any]) -> list[str]:
    """One line for each thing that is carried by a patch: it is kept for Databricks, and does nothing here."""
    of_job = patches.get("job", {})
    lines = []
    for key, task in (of_job.get("tasks") or {}).items():
        if task is not None and key not in stages:
            kind = next((name for name in task if name.endswith("_task")), "task")
            lines.append(f"task {key} ({kind}): it is no stage; stages after it start here without it")
        elif task is not None and (names := _leaves(task)):
            lines.append(f"task {key}: {', '.join(names)}")
    for key, cluster in (of_job.get("job_clusters") or {}).items():
        if cluster is not None and (names := _leaves(cluster)):
            lines.append(f"job cluster {key}: {', '.join(names)}")
    others = {key: value for key, value in of_job.items() if key not in ("tasks", "job_clusters")}
    if names := _leaves(others):
        lines.append(f"job: {', '.join(names)}")
    if names := _leaves(patches.get("bundle", {})):
        lines.append(f"bundle: {', '.join(names)}")
    return lines


def _leaves(value: Mapping[str, Any], depth: int = 3) -> list[str]:
    """The dotted names that a patch sets, to some depth; what it takes away was never there to be carried."""
    names = []
    for key, item in value.items():
        if isinstance(item, Mapping) and item and depth > 1:
            names += [f"{key}.{name}" for name in _leaves(item, depth - 1)]
        elif item is not None:
            names.append(str(key))
    return names


def _clusters(job: Mapping[str, Any], tasks: Tasks, per_task: bool) -> dict[str, Mapping[str, Any]]:
    """Profile name → definition of its cluster."""
    found = job.get("job_clusters") or {}
    if per_task:
        found = tasks.by_key
    if not isinstance(found, Mapping):
        return {}
    return {
        key: item["new_cluster"]
        for key, item in found.items()
        if NAME.fullmatch(key) and isinstance(item.get("new_cluster"), Mapping)
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


def _parameters(job: Mapping[str, Any], stages: Mapping[str, Any], tasks: Tasks) -> Iterator[tuple[str, Any]]:
    """The job's parameters that some notebook declares, and that all that declare it take alike."""
    given = job.get("parameters")
    known = [declared for stage in stages.values() if (declared := tasks.declared(stage["notebook"]))]
    for name, item in given.items() if isinstance(given, Mapping) else ():
        takers = [declared for declared in known if name in declared]
        if takers and name.isidentifier() and isinstance(item.get("default"), str):
            values = [known_value(name, tasks.by_default(item["default"]), declared) for declared in takers]
            if values[0] is not None and all(value == values[0] for value in values):
                yield name, values[0]


def _of_the_job(job: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    schedule, queue = job.get("schedule"), job.get("queue")
    if isinstance(schedule, Mapping) and not quartz.fault(str(schedule.get("quartz_cron_expression"))):
        known = {"quartz_cron_expression", "timezone_id", "pause_status"}
        yield "schedule", {key: value for key, value in schedule.items() if key in known}
    if isinstance(queue, Mapping) and isinstance(queue.get("enabled"), bool):
        yield "queue", {"enabled": queue["enabled"]}
    if _is_int(job.get("max_concurrent_runs")) and 1 <= job["max_concurrent_runs"] <= 1000:
        yield "max_concurrent_runs", job["max_concurrent_runs"]


def _databricks(job: Mapping[str, Any], clusters: Mapping[str, Any], per_task: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"attribution": False}
    for name in ("spark_version", "data_security_mode"):
        given = [cluster[name] for cluster in clusters.values() if isinstance(cluster.get(name), str)]
        if given:
            found[name] = max(given, key=given.count)
    found["cloud"] = _cloud(clusters)
    found |= {"job_clusters": "per_task"} if per_task else {}
    tags = job.get("tags")
    if isinstance(tags, Mapping) and tags and len(tags) <= 25 and all(isinstance(text, str) for text in tags.values()):
        found["tags"] = dict(tags)
    if emails := dict(_lists(job.get("email_notifications"), lambda item: isinstance(item, str))):
        found["email_notifications"] = emails
    hooks = _lists(job.get("webhook_notifications"), lambda item: isinstance(item, Mapping) and set(item) == {"id"})
    if webhooks := {event: [str(item["id"]) for item in items] for event, items in hooks if len(items) <= 3}:
        found["webhook_notifications"] = webhooks
    match job.get("health"):
        case {"rules": [{"metric": "RUN_DURATION_SECONDS", "value": int(seconds)}]} if seconds > 0:
            found["run_duration_seconds"] = seconds
    if job.get("performance_target") in ("STANDARD", "PERFORMANCE_OPTIMIZED"):
        found["performance_target"] = job["performance_target"]
    profiles = {key: kind for key, cluster in clusters.items() if (kind := _kind(cluster))}
    return found | ({"profiles": profiles} if profiles else {})


def _cloud(clusters: Mapping[str, Mapping[str, Any]]) -> str:
    """Whose nodes they are, told by the attributes that their definitions hold."""
    return next((c for c in _CLOUDS for one in clusters.values() if f"{c}_attributes" in one), _CLOUDS[0])


def _lists(given: Any, fits: Any) -> Iterator[tuple[str, list[Any]]]:
    for event in _EVENTS:
        items = given.get(event) if isinstance(given, Mapping) else None
        if isinstance(items, list) and all(map(fits, items)):
            yield event, items


def _kind(cluster: Mapping[str, Any]) -> dict[str, bool]:
    attributes = [cluster.get(f"{cloud}_attributes") or {} for cloud in _CLOUDS]
    spot = any(str(one.get("availability", "")).startswith(("SPOT", "PREEMPTIBLE")) for one in attributes)
    photon = cluster.get("runtime_engine") == "PHOTON"
    return {name: True for name, on in (("spot", spot), ("photon", photon)) if on}


def _in_order(targets: Any) -> dict[str, Mapping[str, Any]]:
    """The targets of a bundle, the default one first."""
    given = {name: own or {} for name, own in targets.items()} if isinstance(targets, Mapping) else {}
    return dict(sorted(given.items(), key=lambda item: item[1].get("default") is not True))


def _targets(around: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    given = _in_order((around or {}).get("targets"))
    if not given or not all(NAME.fullmatch(name) for name in given):
        return
    targets = {}
    for name, own in given.items():
        place = own.get("workspace") or {}
        found = {key: place[key] for key in ("host", "root_path") if isinstance(place.get(key), str)}
        if not str(found.get("host", "https://")).startswith("https://"):
            del found["host"]
        found |= {key: own[key] for key in ("mode", "run_as") if key in own}
        if own.get("permissions"):
            found["permissions"] = own["permissions"]
        targets[name] = found
    yield "targets", targets
