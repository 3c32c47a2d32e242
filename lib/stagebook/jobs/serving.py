"""The model serving endpoint of a bundle: it serves the version that was champion when the bundle was deployed."""

from typing import Any

from stagebook.jobs.job import model_name
from stagebook.model.deployment import ServingEndpoint, Target
from stagebook.model.pipeline import Pipeline

MODEL, VERSION = "champion_model", "champion_version"
"""Variables of the bundle: an endpoint takes a version and no alias, and a target cannot replace items of its list."""


def resource_file(pipeline: Pipeline) -> str:
    """Path of the endpoint's file in the bundle."""
    return f"resources/{pipeline.name}.serving.yml"


def endpoint(pipeline: Pipeline, told: ServingEndpoint) -> dict[str, Any]:
    """What stands under `resources.model_serving_endpoints`."""
    entity = {
        "name": "champion",
        "entity_name": f"${{var.{MODEL}}}",
        "entity_version": f"${{var.{VERSION}}}",
        "workload_size": told.workload_size,
        "workload_type": told.workload_type,
        "scale_to_zero_enabled": told.scale_to_zero_enabled,
    }
    result: dict[str, Any] = {"name": told.name, "config": {"served_entities": [entity]}}
    if pipeline.deployment.attribution:
        result["tags"] = [{"key": "pipeline", "value": pipeline.name}]
    return {f"{pipeline.name}_champion": result}


def variables(pipeline: Pipeline, default: Target) -> dict[str, Any]:
    """The bundle's variables that the endpoint needs."""
    told = pipeline.deployment.serving_endpoint
    if told is None:
        return {}
    version = {"description": "Version that the endpoint serves: the champion's when the bundle is deployed."}
    return {
        MODEL: {"description": "Name of the registered model.", "default": model_name(pipeline, default)},
        VERSION: version | ({"default": told.version} if told.version else {}),
    }


def changes(pipeline: Pipeline, target: Target, default: Target) -> dict[str, str]:
    """The variables that a target gives another value than the default target."""
    if pipeline.deployment.serving_endpoint is None or model_name(pipeline, target) == model_name(pipeline, default):
        return {}
    return {MODEL: model_name(pipeline, target)}
