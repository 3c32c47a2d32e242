"""What Databricks' own models do not see of serving endpoints: names, traffic, versions."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stagebook.errors import did_you_mean
from stagebook.jobs.check.structure import Part
from stagebook.params.findings import Finding
from stagebook.params.yaml_file import Document

KIND = "model_serving_endpoints"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SIZES = ("Small", "Medium", "Large")


def check(document: Document) -> Iterator[Finding]:
    """Every finding in the endpoints of a document, those of its targets included."""
    yield from _resources(document.values, Part(document))
    targets = document.values.get("targets")
    for name, target in targets.items() if isinstance(targets, Mapping) else ():
        if isinstance(target, Mapping):
            yield from _resources(target, Part(document).at("targets").at(name))


def _resources(owner: Mapping[str, Any], part: Part) -> Iterator[Finding]:
    resources = owner.get("resources")
    found = resources.get(KIND) if isinstance(resources, Mapping) else None
    for key, endpoint in found.items() if isinstance(found, Mapping) else ():
        if isinstance(endpoint, Mapping):
            yield from _endpoint(endpoint, part.at("resources").at(KIND).at(key))


def _endpoint(endpoint: Mapping[str, Any], part: Part) -> Iterator[Finding]:
    name = endpoint.get("name")
    if isinstance(name, str) and "${" not in name and not _NAME.fullmatch(name):
        what = f"'{name}' is not the name of an endpoint."
        yield part.at("name").finding(what, "1 to 63 letters, digits, '_' and '-', a letter or digit first")
    config = endpoint.get("config")
    if not isinstance(config, Mapping):
        return
    part, entities = part.at("config"), config.get("served_entities")
    names: list[str] = []
    for place, entity in enumerate(entities if isinstance(entities, list) else ()):
        if isinstance(entity, Mapping):
            yield from _entity(entity, names, part.at("served_entities").at(place))
            names.append(_name_of(entity))
    traffic = config.get("traffic_config")
    if isinstance(traffic, Mapping) and isinstance(traffic.get("routes"), list):
        yield from _routes(traffic["routes"], names, part.at("traffic_config").at("routes"))


def _name_of(entity: Mapping[str, Any]) -> str:
    """An entity's own name, or the one that it gets."""
    given = entity.get("name")
    return given if isinstance(given, str) else f"{entity.get('entity_name')}-{entity.get('entity_version')}"


def _entity(entity: Mapping[str, Any], before: list[str], part: Part) -> Iterator[Finding]:
    if _name_of(entity) in before:
        yield part.finding(f"'{_name_of(entity)}' stands twice among the served entities.")
    if "entity_name" in entity and entity.get("entity_version") is None and "external_model" not in entity:
        yield part.finding("'entity_version' is missing: an endpoint serves a version, and knows no alias.")
    size = entity.get("workload_size")
    if isinstance(size, str) and size.lower() in (known.lower() for known in _SIZES) and size not in _SIZES:
        yield part.at("workload_size").finding(
            f"'{size}' is not a size.{did_you_mean(size, _SIZES)}", ", ".join(_SIZES)
        )
    both = [name for name in ("min_provisioned_concurrency", "max_provisioned_concurrency") if name in entity]
    if size is not None and both:
        yield part.at(both[0]).finding("an entity has workload_size or a provisioned concurrency, not both.")


def _routes(routes: list[Any], names: list[str], part: Part) -> Iterator[Finding]:
    shares: list[int] = []
    for place, route in enumerate(routes):
        if not isinstance(route, Mapping):
            continue
        named = next((name for name in ("served_entity_name", "served_model_name") if name in route), None)
        if named is not None and isinstance(route[named], str) and names and route[named] not in names:
            what = f"there is no served entity '{route[named]}'.{did_you_mean(route[named], names)}"
            yield part.at(place).at(named).finding(what, ", ".join(names))
        share = route.get("traffic_percentage")
        if isinstance(share, int):
            shares.append(share)
    if len(shares) == len(routes) and sum(shares) != 100:
        yield part.finding(f"the routes take {sum(shares)} % of the traffic, not 100 %.")
