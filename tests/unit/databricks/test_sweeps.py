"""A sweep in the bundle: shared stages run once, the others once for each configuration, at a limited concurrency."""

import json
from pathlib import Path

import pytest
from databricks.bundles.jobs import Job
from fixtures.databricks_notebooks import databricks_notebook
from ruamel.yaml import YAML

from stagebook.cli import call
from stagebook.databricks.export.sweeps import NotRepeatable
from stagebook.errors import ConfigError

GRID = "grid: {train.rate: [0.1, 0.2, 0.3], train.seed: [1, 2]}\n"
ONE_STAGE = GRID + "to: [train]\n"
TWO_STAGES = GRID + "parameters: {prep.seed: 7}\n"
SETTINGS = "databricks: {sweeps: {tune: 3}, catalog: main, schema: s, targets: {dev: {}, prod: {catalog: prod}}}"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def export(pipeline, tmp_path, monkeypatch):
    """`export(ONE_STAGE)` exports the small pipeline with this sweep; gives the sweep's jobs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params/sweeps").mkdir(parents=True)

    def run(sweep):
        (tmp_path / "params/sweeps/tune.yaml").write_text(sweep)
        pipeline(SETTINGS)
        assert call(["databricks", "export", "--params", "dev", "--out", "out"]) == 0
        return YAML(typ="safe").load(Path("out/resources/demo_tune.job.yml").read_text())["resources"]["jobs"]

    return run


def tasks(job):
    return {task["task_key"]: task for task in job["tasks"]}


def test_a_single_varied_stage_is_repeated_on_the_cluster_of_its_job(export):
    (job,) = export(ONE_STAGE).values()
    assert job["name"] == "demo_tune"
    assert list(tasks(job)) == ["prep", "tune"]
    each = tasks(job)["tune"]
    assert each["depends_on"] == [{"task_key": "prep"}]
    assert each["for_each_task"]["concurrency"] == 3
    inputs = json.loads(each["for_each_task"]["inputs"])
    assert inputs[:2] == [{"train__seed": "1", "train__rate": "0.1"}, {"train__seed": "2", "train__rate": "0.1"}]
    assert len(inputs) == 6
    inner = each["for_each_task"]["task"]
    assert inner["task_key"] == "train_iteration"
    assert inner["job_cluster_key"] == "alone"
    parameters = inner["notebook_task"]["base_parameters"]
    assert (parameters["rate"], parameters["seed"]) == ("{{input.train__rate}}", "{{input.train__seed}}")
    assert parameters["names"] == "{{tasks.prep.values.names}}"
    assert "seed" not in {parameter["name"] for parameter in job["parameters"]}, "a parameter of the job would win"


def test_several_varied_stages_are_a_job_that_is_repeated(export):
    jobs = export(TWO_STAGES)
    assert list(jobs) == ["demo_tune", "demo_tune_one"]
    outer, repeated = jobs.values()
    each = tasks(outer)["tune"]["for_each_task"]["task"]["run_job_task"]
    assert each == {
        "job_id": "${resources.jobs.demo_tune_one.id}",
        "job_parameters": {
            "train__rate": "{{input.train__rate}}",
            "train__seed": "{{input.train__seed}}",
            "prep__names": "{{tasks.prep.values.names}}",
        },
    }
    assert tasks(outer)["prep"]["notebook_task"]["base_parameters"]["seed"] == "7", (
        "all configurations set the same value"
    )
    assert repeated["max_concurrent_runs"] == 3
    assert repeated["queue"] == {"enabled": True}
    train = tasks(repeated)["train"]
    assert "depends_on" not in train
    assert train["notebook_task"]["base_parameters"]["names"] == "{{job.parameters.prep__names}}"
    assert train["notebook_task"]["base_parameters"]["rate"] == "{{job.parameters.train__rate}}"
    assert tasks(repeated)["deploy_if"]["condition_task"]["left"] == "{{tasks.train.values.good}}"
    parameters = {item["name"]: item["default"] for item in repeated["parameters"]}
    assert (parameters["train__rate"], parameters["prep__names"]) == ("0.1", "")


@pytest.mark.parametrize("sweep", [ONE_STAGE, TWO_STAGES])
def test_databricks_models_and_our_validation_accept_the_jobs(export, sweep, capsys):
    for job in export(sweep).values():
        assert Job.from_dict(job).as_dict() == job
    assert call(["databricks", "validate", "out/databricks.yml"]) == 0
    assert f"{3 if sweep == TWO_STAGES else 2} jobs, 0 findings" in capsys.readouterr().out


def test_targets_override_the_jobs_of_a_sweep_too(export):
    export(TWO_STAGES)
    bundle = YAML(typ="safe").load(Path("out/databricks.yml").read_text())
    changed = bundle["targets"]["prod"]["resources"]["jobs"]
    assert list(changed) == ["demo", "demo_tune", "demo_tune_one"]
    assert {"name": "stagebook_catalog", "default": "prod"} in changed["demo_tune_one"]["parameters"]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("list: [{train.rate: 0.1}, {train.seed: 1, train.mode: x}]\n", "no parameter 'mode'"),
        ("grid: {train.rate: [0.1, 0.2]}\nfrom: [train]\n", "depends on 'prep', which the sweep leaves out"),
        (f"grid: {{train.names: [{', '.join(str([name * 300]) for name in 'abcdefghijklmnopqr')}]}}\n", "5,000"),
    ],
)
def test_a_sweep_that_a_job_cannot_repeat_is_refused(export, sweep, message):
    with pytest.raises(ConfigError, match=message):
        export(sweep)


def test_a_parameter_that_only_some_configurations_set_is_refused(pipeline, tmp_path, monkeypatch, params, notebook):
    notebook("train", "1", parameters="seed: int = 1\nrate: float = 0.1\nnames: list[str] = []\nmode: str = 'a'\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params/sweeps").mkdir(parents=True)
    (tmp_path / "params/sweeps/tune.yaml").write_text("list: [{train.rate: 0.1}, {train.mode: b}]\n")
    params("p", f"pipeline: p\nstages: {{train: {{notebook: notebooks/train.ipynb}}}}\n{SETTINGS}\n")
    with pytest.raises(NotRepeatable, match=r"configuration 2 leaves train.rate to the notebook"):
        call(["databricks", "export", "--params", "p", "--out", "out"])


def test_a_notebook_that_reads_task_values_of_another_job_itself_is_refused(export, tmp_path, pipeline):
    text = "dbutils.widgets.get('rate'), dbutils.widgets.get('names')\nx = dbutils.jobs.taskValues.get('prep', 'names')"
    databricks_notebook(tmp_path / "notebooks/databricks.py", text)
    (tmp_path / "params/sweeps/tune.yaml").write_text("grid: {train.rate: [1, 2]}\n")
    pipeline(SETTINGS + "\nstages: {train: {notebook: notebooks/databricks.py}}")
    with pytest.raises(NotRepeatable, match="'train' reads task values itself, and 'prep' is in\n  another job"):
        call(["databricks", "export", "--params", "dev", "--out", "out"])


def test_the_shipped_sweep_is_a_job(tmp_path, monkeypatch):
    for folder in ("params", "notebooks", "lib"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("extends: params/prod.yaml\ndatabricks: {sweeps: {train: 4}}\n")
    assert call(["databricks", "export", "--params", "mine.yaml", "--out", "out"]) == 0
    assert call(["databricks", "validate", "out/databricks.yml"]) == 0
    jobs = YAML(typ="safe").load((tmp_path / "out/resources/flightdelay_train.job.yml").read_text())["resources"][
        "jobs"
    ]
    outer, repeated = jobs.values()
    assert list(tasks(outer)) == ["data_prep", "feature_build", "train_"]
    assert list(tasks(repeated)) == ["train", "validate"]
    assert len(json.loads(tasks(outer)["train_"]["for_each_task"]["inputs"])) == 12
