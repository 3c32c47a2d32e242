"""Fixtures for the Databricks tests: a project with a small pipeline, and its job for a target."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.databricks.export.job import job
from stagebook.model.pipeline import Pipeline

BASE = """\
pipeline: demo
parameters: {seed: 3}
defaults: {max_retries: 2, min_retry_interval_millis: 500, timeout_seconds: 60}
stages:
  prep: {notebook: notebooks/prep.ipynb, profile: wide}
  train:
    notebook: notebooks/train.ipynb
    depends_on: [prep]
    parameters: {rate: 0.5, names: "{{tasks.prep.values.names}}"}
    profile: alone
  deploy:
    notebook: notebooks/deploy.ipynb
    depends_on: [train]
    only_if: "{{tasks.train.values.good}}"
    run_if: NONE_FAILED
    max_retries: 0
    timeout_seconds: 0
    profile: alone
profiles:
  wide: {node_type_id: c5.xlarge, autoscale: {min_workers: 1, max_workers: 4}}
  alone: {node_type_id: r5.xlarge, num_workers: 0}
"""


@pytest.fixture
def pipeline(notebook, params, tmp_path) -> Callable[..., Pipeline]:
    """`pipeline("databricks: …")` gives the small pipeline with these lines in a file that extends its own."""
    notebook("prep", "1", parameters="seed: int = 1")
    notebook("train", "1", parameters="seed: int = 1\nrate: float = 0.1\nnames: list[str] = []\n")
    notebook("deploy", "1", parameters="seed: int = 1")
    params("base", BASE)

    def load_with(lines: str = "") -> Pipeline:
        params("dev", f"extends: base.yaml\n{lines}\n")
        return load(("dev",), Flags(), {}, tmp_path)

    return load_with


def job_of(pipeline: Pipeline, target: str = "dev") -> dict[str, Any]:
    paths = {name: f"../notebooks/{Path(stage.notebook).name}" for name, stage in pipeline.stages.items()}
    return job(pipeline, pipeline.deployment.targets[target], paths)


def tasks(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {task["task_key"]: task for task in job["tasks"]}


def clusters(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {cluster["job_cluster_key"]: cluster["new_cluster"] for cluster in job.get("job_clusters", ())}
