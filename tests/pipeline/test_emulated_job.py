"""The shipped pipeline as the job that is exported, under an emulation of a workspace, equals the local run.

`prod.yaml` runs once here, and its bundle in both ways to run a stage there, on every sixth flight. Catalog and schema
are those of the target, which a deployment sets; the catalog that Spark itself has is called `spark_catalog`.
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
from emulator.schedule import JobResult, Moment, run
from emulator.workspace import Workspace
from fixtures import few_flights
from fixtures.alike import assert_same_rows, differences
from fixtures.real_year import ROOT

from flightdelay import schema
from stagebook.cli import app
from stagebook.engines.local import LocalEngine
from stagebook.engines.spark import server
from stagebook.engines.spark.engine import SparkEngine

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]

WAYS = ("notebook", "papermill")
STAGES = ["data_prep", "feature_build", "train", "validate", "register_model", "deploy"]
NOW = Moment(run_id=20260301, started_at=datetime(2026, 3, 1, 2, 30, tzinfo=UTC))
WHERE = {"model", "model_name", "model_card", "consumer_schema"}
"""Scraps that name a place: they hold the run's id, or catalog and schema."""

TARGET = """\
extends: prod.yaml
defaults: {{max_retries: 0}}
databricks:
  catalog: spark_catalog
  schema: {schema}
  execute_with: {way}
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
    """A run of the job, and the folder that its schema's tables are in."""

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
        assert version is not None, f"the job has made no table {name}"
        return engine.read_arrow(path, version=version)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the data."""
    return few_flights.package(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def local(flights: Path, spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory) -> Local:
    folder = tmp_path_factory.mktemp("local")
    where = ["--runs-dir", str(folder / "runs"), "--warehouse", str(folder / "warehouse")]
    words = [
        str(ROOT / "runners/run_pipeline.py"),
        "--params",
        "prod.yaml",
        "--run-id",
        "local",
        "--retries",
        "0",
        *where,
    ]
    assert spark.session, "one server for all"
    own = {**os.environ, "PYTHONPATH": str(flights)}
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, env=own, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr
    return Local(folder)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def emulated(
    way: str, flights: Path, spark: SparkEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulated]:
    """The job of one way, run once."""
    folder, name = tmp_path_factory.mktemp(way), f"emulated_{way}"
    for part in ("notebooks", "params"):
        shutil.copytree(ROOT / part, folder / part)
    (folder / "params/there.yaml").write_text(TARGET.format(schema=name, way=way))
    with contextlib.chdir(folder):
        assert app(["export", "databricks", "--params", "there", "--out", "bundle"]) == 0
    job = read(folder / "bundle", target="prod")["flightdelay"]
    found = server.ensure(SPARK)
    workspace = Workspace(folder / "workspace", spark=found.remote, token=found.token, packages=(flights,))
    spark.session.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{name} CASCADE")  # of tests that were killed
    spark.session.sql(f"CREATE SCHEMA spark_catalog.{name} LOCATION '{folder / 'tables'}'")
    yield Emulated(job, run(job, workspace, NOW), folder / "tables", workspace)
    spark.session.sql(f"DROP SCHEMA spark_catalog.{name} CASCADE")


def test_every_task_of_the_job_succeeds_at_once(emulated: Emulated):
    assert not {name: task.why for name, task in emulated.result.tasks.items() if task.state.is_failure}
    assert emulated.result.state == "SUCCESS"
    assert set(emulated.result.states) == {*STAGES, "deploy_if"}
    assert {name: task.attempts for name, task in emulated.result.tasks.items()} == dict.fromkeys(emulated.job.tasks, 1)
    assert emulated.result.tasks["deploy_if"].outcome is True


def test_what_the_stages_hand_on_is_what_they_hand_on_here(emulated: Emulated, local: Local):
    found, expected = (
        {stage: _comparable(scraps[stage]) for stage in STAGES} for scraps in (emulated.values, local.scraps)
    )
    assert expected["data_prep"]["rows"]["flights"] < 60_000
    assert expected["validate"]["metrics"]["roc_auc"] > 0.64
    assert not differences(found, expected, rel=1e-6)


def _comparable(value: Any) -> Any:
    """Without scraps that name a place; mappings by key, since JSON gives them no order."""
    if isinstance(value, dict):
        return {key: _comparable(value[key]) for key in sorted(set(value) - WHERE)}
    return [_comparable(item) for item in value] if isinstance(value, list) else value


def test_the_gate_gives_the_same_verdict(emulated: Emulated, local: Local):
    found, expected = emulated.values["validate"]["gate"], local.scraps["validate"]["gate"]
    verdicts = [[(rule["rule"], rule["passed"]) for rule in gate["rules"]] for gate in (found, expected)]
    assert (found["passed"], verdicts[0]) == (expected["passed"], verdicts[1])
    assert len(verdicts[0]) == 8


@pytest.mark.parametrize("name", schema.TABLES)
def test_a_table_has_the_same_rows(emulated: Emulated, local: Local, name: str):
    found, expected = emulated.table(name), local.table(name)
    assert expected.num_rows
    assert_same_rows(found, expected, by=schema.TABLES[name].key, rel=1e-9)


def test_the_model_is_in_the_catalog_under_its_three_level_name(emulated: Emulated, way: str):
    from mlflow import MlflowClient

    client = MlflowClient(emulated.workspace.database)
    name = f"spark_catalog.emulated_{way}.flight_delay"
    champion = client.get_model_version_by_alias(name, "champion")
    assert (str(champion.version), champion.tags["stagebook.run_id"]) == ("1", str(NOW.run_id))
    assert client.get_experiment_by_name("/Shared/flightdelay") is not None


def test_files_are_on_the_volume_and_under_papermill_the_executed_notebooks_too(emulated: Emulated, way: str):
    volume = emulated.workspace.volumes / f"spark_catalog/emulated_{way}/stagebook"
    assert (volume / "volumes" / emulated.values["train"]["model"]).is_file()
    kept = sorted(path.name for path in volume.glob(f"runs/{NOW.run_id}/*.ipynb"))
    assert kept == (sorted(f"{stage}-1.ipynb" for stage in STAGES) if way == "papermill" else [])
