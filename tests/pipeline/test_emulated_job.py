"""The shipped pipeline as an exported job, run by the emulator, gives the results of the local run.

`prod.yaml` runs once locally, on pandas, and its bundle on Spark, all on every sixth flight. Catalog and
schema are the target's, as in a deployment; Spark's built-in catalog is called `spark_catalog`.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import SPARK
from emulator.bundle import Job, read
from emulator.schedule import JobResult, JobRun, run
from emulator.workspace import Workspace
from fixtures import sampled_flights
from fixtures.comparison import assert_same_rows, differences
from fixtures.processes import HANG_SECONDS
from fixtures.real_year import ROOT

from flightdelay import schema
from stagebook.cli import call
from stagebook.delta.pandas_engine import LocalEngine
from stagebook.spark import server
from stagebook.spark.engine import SparkEngine

pytestmark = [pytest.mark.emulator, pytest.mark.timeout(900)]

EXECUTE_WITH = ("notebook", pytest.param("papermill", marks=pytest.mark.campaign))
"""A small pipeline is executed with both, in `test_emulated_failure.py`."""
STAGES = ["data_prep", "feature_build", "train", "validate", "register_model", "deploy"]
JOB_RUN = JobRun(run_id=20260301, started_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
LOCATION_SCRAPS = {"model", "model_name", "model_card", "consumer_schema"}
"""Scraps that contain the run's id, or catalog and schema."""

TARGET = """\
extends: prod.yaml
defaults: {{max_retries: 0}}
databricks:
  catalog: spark_catalog
  schema: {schema}
  execute_with: {execute_with}
  targets: {{dev: {{catalog: spark_catalog}}}}
"""


@dataclass(frozen=True)
class Local:
    """The run of `prod.yaml` on this machine."""

    folder: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "runs/local/run.json").read_text())

    @property
    def scraps(self) -> dict[str, dict[str, Any]]:
        return {name: stage["scraps"] for name, stage in self.record["stages"].items()}

    def table(self, name: str) -> pa.Table:
        versions = {n: t["version"] for stage in self.record["stages"].values() for n, t in stage["outputs"].items()}
        return LocalEngine().read_arrow(self.folder / "warehouse/tables" / name, version=versions[name])


@dataclass(frozen=True)
class Emulated:
    """A run of the job, and the folder of its schema's tables."""

    job: Job
    result: JobResult
    tables: Path
    workspace: Workspace

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        return {name: dict(task.values) for name, task in self.result.tasks.items()}

    def table(self, name: str) -> pa.Table:
        engine, path = LocalEngine(), self.tables / name
        version = engine.latest(path)
        assert version is not None, f"the job has written no table {name}"
        return engine.read_arrow(path, version=version)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the flights."""
    return sampled_flights.write_package(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def local(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Local:
    folder = tmp_path_factory.mktemp("local")
    locations = ["--runs-dir", str(folder / "runs"), "--warehouse", str(folder / "warehouse")]
    words = ["--params", "prod.yaml", "--engine", "pandas", "--run-id", "local", "--retries", "0"]
    command = [str(ROOT / "runners/run_pipeline.py"), *words, *locations]
    environment = {**os.environ, "PYTHONPATH": str(flights)}
    process = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert process.returncode == 0, process.stderr
    return Local(folder)


@pytest.fixture(scope="module", params=EXECUTE_WITH)
def execute_with(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def emulated(
    execute_with: str, flights: Path, spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulated]:
    """The job, run once for each `execute_with`."""
    folder, schema_name = tmp_path_factory.mktemp(execute_with), f"emulated_{execute_with}"
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "params/emulated.yaml").write_text(TARGET.format(schema=schema_name, execute_with=execute_with))
    with contextlib.chdir(folder):
        assert call(["databricks", "export", "--params", "emulated", "--out", "bundle"]) == 0
    job = read(folder / "bundle", target="prod")["flightdelay"]
    endpoint = server.ensure(SPARK)
    workspace = Workspace(folder / "workspace", spark=endpoint.remote, token=endpoint.token, packages=(flights,))
    spark.session.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{schema_name} CASCADE")  # of tests that were killed
    spark.session.sql(f"CREATE SCHEMA spark_catalog.{schema_name} LOCATION '{folder / 'tables'}'")
    yield Emulated(job, run(job, workspace, JOB_RUN), folder / "tables", workspace)
    spark.session.sql(f"DROP SCHEMA spark_catalog.{schema_name} CASCADE")


def test_every_task_of_the_job_succeeds_at_its_first_attempt(emulated: Emulated):
    assert not {name: task.reason for name, task in emulated.result.tasks.items() if task.state.is_failure}
    assert emulated.result.state == "SUCCESS"
    assert set(emulated.result.states) == {*STAGES, "deploy_if"}
    assert {name: task.attempts for name, task in emulated.result.tasks.items()} == dict.fromkeys(emulated.job.tasks, 1)
    assert emulated.result.tasks["deploy_if"].outcome is True


def test_task_values_equal_the_scraps_of_the_local_run(emulated: Emulated, local: Local):
    actual, expected = (
        {stage: _comparable(scraps[stage]) for stage in STAGES} for scraps in (emulated.values, local.scraps)
    )
    assert expected["data_prep"]["rows"]["flights"] < 60_000
    assert expected["validate"]["metrics"]["roc_auc"] > 0.64
    assert not differences(actual, expected, rel=1e-6)


def _comparable(value: Any) -> Any:
    """Without scraps that contain a location; mappings sorted by key, since JSON does not order them."""
    if isinstance(value, dict):
        return {key: _comparable(value[key]) for key in sorted(set(value) - LOCATION_SCRAPS)}
    return [_comparable(item) for item in value] if isinstance(value, list) else value


def test_the_gate_decides_as_in_the_local_run(emulated: Emulated, local: Local):
    actual, expected = emulated.values["validate"]["gate"], local.scraps["validate"]["gate"]
    verdicts = [[(rule["rule"], rule["passed"]) for rule in gate["rules"]] for gate in (actual, expected)]
    assert (actual["passed"], verdicts[0]) == (expected["passed"], verdicts[1])
    assert len(verdicts[0]) == 8


@pytest.mark.parametrize("name", schema.TABLES)
def test_a_table_has_the_rows_of_the_local_run(emulated: Emulated, local: Local, name: str):
    actual, expected = emulated.table(name), local.table(name)
    assert expected.num_rows
    assert_same_rows(actual, expected, by=schema.TABLES[name].key, rel=1e-9)


def test_the_model_is_in_the_catalog_under_its_three_level_name(emulated: Emulated, execute_with: str):
    from mlflow import MlflowClient

    client = MlflowClient(emulated.workspace.database)
    name = f"spark_catalog.emulated_{execute_with}.flight_delay"
    champion = client.get_model_version_by_alias(name, "champion")
    assert (str(champion.version), champion.tags["stagebook.run_id"]) == ("1", str(JOB_RUN.run_id))
    assert client.get_experiment_by_name("/Shared/flightdelay") is not None


def test_files_are_on_the_volume_and_so_are_notebooks_executed_by_papermill(emulated: Emulated, execute_with: str):
    volume = emulated.workspace.volumes / f"spark_catalog/emulated_{execute_with}/stagebook"
    assert (volume / "volumes" / emulated.values["train"]["model"]).is_file()
    executed = sorted(path.name for path in volume.glob(f"runs/{JOB_RUN.run_id}/*.ipynb"))
    assert executed == (sorted(f"{stage}-1.ipynb" for stage in STAGES) if execute_with == "papermill" else [])
