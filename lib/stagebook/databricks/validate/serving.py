"""Checks what Databricks' own models do not check of serving endpoints: names, traffic, versions."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Document
from stagebook.databricks.validate.structure import Location
from stagebook.errors import did_you_mean

KIND = "model_serving_endpoints"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_SIZES = ("Small", "Medium", "Large")


def check(document: Document) -> Iterator[Finding]:
    """Every finding in the endpoints of a document, those of its targets included."""
    yield from _resources(document.values, Location(document))
    targets = document.values.get("targets")
    for name, target in targets.items() if isinstance(targets, Mapping) else ():
        if isinstance(target, Mapping):
            yield from _resources(target, Location(document).at("targets").at(name))


def _resources(owner: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    resources = owner.get("resources")
    endpoints = resources.get(KIND) if isinstance(resources, Mapping) else None
    for key, endpoint in endpoints.items() if isinstance(endpoints, Mapping) else ():
        if isinstance(endpoint, Mapping):
            yield from _endpoint(endpoint, location.at("resources").at(KIND).at(key))


def _endpoint(endpoint: Mapping[str, Any], location: Location) -> Iterator[Finding]:
    name = endpoint.get("name")
    if isinstance(name, str) and "${" not in name and not _NAME.fullmatch(name):
        message = f"'{name}' is not the name of an endpoint."
        yield location.at("name").finding(message, "1 to 63 letters, digits, '_' and '-', a letter or digit first")
    config = endpoint.get("config")
    if not isinstance(config, Mapping):
        return
    location, entities = location.at("config"), config.get("served_entities")
    names: list[str] = []
    for index, entity in enumerate(entities if isinstance(entities, list) else ()):
        if isinstance(entity, Mapping):
            yield from _entity(entity, names, location.at("served_entities").at(index))
            names.append(_name_of(entity))
    traffic = config.get("traffic_config")
    if isinstance(traffic, Mapping) and isinstance(traffic.get("routes"), list):
        yield from _routes(traffic["routes"], names, location.at("traffic_config").at("routes"))


def _name_of(entity: Mapping[str, Any]) -> str:
    """An entity's name, or the default that Databricks gives it."""
    name = entity.get("name")
    return name if isinstance(name, str) else f"{entity.get('entity_name')}-{entity.get('entity_version')}"


def _entity(entity: Mapping[str, Any], earlier_names: list[str], location: Location) -> Iterator[Finding]:
    if _name_of(entity) in earlier_names:
        yield location.finding(f"'{_name_of(entity)}' occurs twice among the served entities.")
    if "entity_name" in entity and entity.get("entity_version") is None and "external_model" not in entity:
        yield location.finding("'entity_version' is missing: an endpoint serves a version, not an alias.")
    size = entity.get("workload_size")
    if isinstance(size, str) and size.lower() in (allowed.lower() for allowed in _SIZES) and size not in _SIZES:
        yield location.at("workload_size").finding(
            f"'{size}' is not a size.{did_you_mean(size, _SIZES)}", ", ".join(_SIZES)
        )
    concurrency = [name for name in ("min_provisioned_concurrency", "max_provisioned_concurrency") if name in entity]
    if size is not None and concurrency:
        yield location.at(concurrency[0]).finding("an entity has workload_size or a provisioned concurrency, not both.")


def _routes(routes: list[Any], names: list[str], location: Location) -> Iterator[Finding]:
    shares: list[int] = []
    for index, route in enumerate(routes):
        if not isinstance(route, Mapping):
            continue
        field = next((name for name in ("served_entity_name", "served_model_name") if name in route), None)
        if field is not None and isinstance(route[field], str) and names and route[field] not in names:
            message = f"there is no served entity '{route[field]}'.{did_you_mean(route[field], names)}"
            yield location.at(index).at(field).finding(message, ", ".join(names))
        share = route.get("traffic_percentage")
        if isinstance(share, int):
            shares.append(share)
    if len(shares) == len(routes) and sum(shares) != 100:
        yield location.finding(f"the routes take {sum(shares)} % of the traffic, not 100 %.")
