"""Defines a bundle's model serving endpoint, which serves the version that is champion when the bundle is deployed."""

from typing import Any

from stagebook.databricks.export.job import model_name
from stagebook.model.deployment import ServingEndpoint, Target
from stagebook.model.pipeline import Pipeline

MODEL, VERSION = "champion_model", "champion_version"
"""Variables of the bundle: an endpoint serves a version, no alias, and a target cannot replace items of its list."""


def resource_file(pipeline: Pipeline) -> str:
    """Path of the endpoint's file in the bundle."""
    return f"resources/{pipeline.name}.serving.yml"


def endpoint(pipeline: Pipeline, settings: ServingEndpoint) -> dict[str, Any]:
    """The content of `resources.model_serving_endpoints`."""
    entity = {
        "name": "champion",
        "entity_name": f"${{var.{MODEL}}}",
        "entity_version": f"${{var.{VERSION}}}",
        "workload_size": settings.workload_size,
        "workload_type": settings.workload_type,
        "scale_to_zero_enabled": settings.scale_to_zero_enabled,
    }
    result: dict[str, Any] = {"name": settings.name, "config": {"served_entities": [entity]}}
    if pipeline.deployment.attribution:
        result["tags"] = [{"key": "pipeline", "value": pipeline.name}]
    return {f"{pipeline.name}_champion": result}


def variables(pipeline: Pipeline, default: Target) -> dict[str, Any]:
    """The bundle's variables that the endpoint needs."""
    settings = pipeline.deployment.serving_endpoint
    if settings is None:
        return {}
    version = {"description": "Version that the endpoint serves: the champion's when the bundle is deployed."}
    return {
        MODEL: {"description": "Name of the registered model.", "default": model_name(pipeline, default)},
        VERSION: version | ({"default": settings.version} if settings.version else {}),
    }


def target_variables(pipeline: Pipeline, target: Target, default: Target) -> dict[str, str]:
    """The variables that a target sets to another value than the default target does."""
    if pipeline.deployment.serving_endpoint is None or model_name(pipeline, target) == model_name(pipeline, default):
        return {}
    return {MODEL: model_name(pipeline, target)}
