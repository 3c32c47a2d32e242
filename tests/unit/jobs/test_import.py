"""A Databricks job as a parameter file: what stages can say they say, and an export gives the job back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stagebook.cli import app
from stagebook.errors import ConfigError
from stagebook.jobs import patch
from stagebook.params.load import Flags, load
from stagebook.params.yaml_file import read

EXAMPLE = Path(__file__).resolve().parents[2] / "fixtures/databricks/example_databricks.yml"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def there(tmp_path, monkeypatch, notebook):
    """A project with three notebooks."""
    notebook("01_data_prep", "1", parameters="profile: str = 'dev'\nn: int = 1\nrates: list[float] = []")
    notebook("06", "1")
    notebook("a", "1", parameters="n: int = 1\ntext: str = ''\nrates: list[float] = []")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def around(folder: str) -> dict[str, Any]:
    """An exported bundle as one mapping again, with the lists of its jobs by key."""
    whole = read(Path(folder) / "databricks.yml", folder).values
    for path in Path(folder).glob("resources/*.yml"):
        whole = patch.apply(whole, read(path, str(path)).values)
    for name, job in whole["resources"]["jobs"].items():
        whole["resources"]["jobs"][name] = patch.keyed(job)
    return whole


def exported_again(file: str, *flags: str) -> dict[str, Any]:
    assert app(["import", "databricks", file, "--out", "params/pipe.yaml", *flags]) == 0
    assert app(["export", "databricks", "--params", "pipe", "--out", "out"]) == 0
    return around("out")


def job_again(job: dict[str, Any]) -> dict[str, Any]:
    shutil.rmtree("out", ignore_errors=True)
    Path("job.json").write_text(json.dumps(job))
    (found,) = exported_again("job.json")["resources"]["jobs"].values()
    return found


def test_import_and_export_of_the_example_is_a_fixed_point(there):
    (there / "bundle").mkdir()
    (there / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    wanted = read(EXAMPLE, "example").values
    wanted["resources"]["jobs"]["pipe"] = patch.keyed(wanted["resources"]["jobs"]["pipe"])
    assert exported_again("bundle/databricks.yml") == wanted
    again = Path("params/pipe.yaml").read_text()
    assert exported_again("bundle/databricks.yml") == wanted
    assert Path("params/pipe.yaml").read_text() == again
    tasks = read(Path("out/resources/pipe.job.yml"), "out").values["resources"]["jobs"]["pipe"]["tasks"]
    assert [task["task_key"] for task in tasks] == ["data_prep", "sweep", "gate", "deploy"]


def test_the_import_says_what_does_nothing_here(there, capsys):
    (there / "bundle").mkdir()
    (there / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    app(["import", "databricks", "bundle/databricks.yml", "--out", "params/pipe.yaml"])
    told = capsys.readouterr().err
    for part in (
        "task sweep (for_each_task): it is no stage; stages after it start here without it",
        "task gate (condition_task): it is no stage",
        "task data_prep: retry_on_timeout, notebook_task.source, notebook_task.base_parameters.run_id, libraries",
        "job cluster etl: new_cluster.node_type_id, new_cluster.custom_tags.stage",
        "job: timeout_seconds, budget_policy_id, parameters.run_date.default",
        "bundle: bundle.name, variables.node_type.description",
    ):
        assert part in told
        assert part in Path("params/pipe.yaml").read_text()


def test_what_stages_can_say_they_say(there):
    (there / "bundle").mkdir()
    (there / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    app(["import", "databricks", "bundle/databricks.yml", "--out", "params/pipe.yaml"])
    found = load(("pipe",), Flags(), {}, there)
    prep, deploy = found.stages["data_prep"], found.stages["deploy"]
    assert prep.notebook == there / "notebooks/01_data_prep.ipynb"
    assert (prep.retry.max_retries, prep.retry.min_interval.total_seconds(), prep.profile) == (2, 60.0, "etl")
    assert prep.parameters == {"profile": "prod"}
    assert deploy.depends_on == ("data_prep",)
    etl = found.deployment.targets["prod"].profiles["etl"]
    assert (etl.workers, etl.spot, etl.photon) == ((1, 4), True, False)
    assert found.deployment.run_duration_seconds == 3600


def task(key: str, **more: Any) -> dict[str, Any]:
    return {"task_key": key, "notebook_task": {"notebook_path": "notebooks/a.ipynb"}} | more


def test_a_condition_on_a_scrap_becomes_only_if_under_any_name(there):
    test = {"left": "{{tasks.a.values.ok}}", "op": "EQUAL_TO", "right": "true"}
    job = {
        "name": "x",
        "tasks": [
            task("a"),
            {"task_key": "check", "depends_on": [{"task_key": "a"}], "condition_task": test},
            task("b", depends_on=[{"task_key": "check", "outcome": "true"}]),
        ],
    }
    assert job_again(job) == patch.keyed(job)
    stage = load(("pipe",), Flags(), {}, there).stages["b"]
    assert (stage.only_if, stage.depends_on) == ("{{tasks.a.values.ok}}", ("a",))


@pytest.mark.parametrize(
    ("left", "op", "more"),
    [
        ("{{tasks.a.values.ok}}", "EQUAL_TO", {"run_if": "ALL_DONE"}),
        ("{{tasks.a.values.ok}}", "NOT_EQUAL", {}),
        ("{{tasks.b.values.ok}}", "EQUAL_TO", {}),
        ("{{job.parameters.ok}}", "EQUAL_TO", {}),
        ("is {{tasks.a.values.ok}}", "EQUAL_TO", {}),
    ],
)
def test_another_condition_is_kept_for_databricks(there, left, op, more):
    test = {"left": left, "op": op, "right": "true"}
    check = {"task_key": "check", "depends_on": [{"task_key": "a"}], "condition_task": test}
    b = task("b", depends_on=[{"task_key": "check", "outcome": "true"}], **more)
    job = {"name": "x", "tasks": [task("a"), check, b]}
    assert job_again(job) == patch.keyed(job)
    stage = load(("pipe",), Flags(), {}, there).stages["b"]
    assert (stage.only_if, stage.depends_on) == (None, ("a",))


def test_texts_become_values_that_fit_the_notebook(there):
    given = {"n": "3", "text": "3", "rates": "[1.50]", "other": "x", "run": "{{job.run_id}}"}
    job = {
        "name": "x",
        "parameters": [{"name": "n", "default": "7"}, {"name": "nobody", "default": "1"}],
        "tasks": [task("a", notebook_task={"notebook_path": "notebooks/a.ipynb", "base_parameters": given})],
    }
    assert job_again(job) == patch.keyed(job)
    found = load(("pipe",), Flags(), {}, there)
    assert found.parameters == {"n": 7}
    assert found.stages["a"].parameters == {"n": 7, "text": "3", "rates": [1.5]}


def test_a_job_of_the_api_is_read(there):
    job = {
        "name": "nightly run",
        "format": "MULTI_TASK",
        "max_concurrent_runs": 1,
        "tasks": [task("a", max_retries=-1)],
    }
    (there / "r.json").write_text(json.dumps({"job_id": 1, "settings": job}))
    assert exported_again("r.json")["resources"]["jobs"]["pipeline"] == patch.keyed(job)


def test_one_of_several_jobs_has_to_be_named(there):
    jobs = {name: {"tasks": [task("a")]} for name in ("one", "two")}
    (there / "b.json").write_text(json.dumps({"resources": {"jobs": jobs}}))
    with pytest.raises(ConfigError, match="which job is meant.*\n.*one, two"):
        app(["import", "databricks", "b.json"])
    with pytest.raises(ConfigError, match="no job 'tow'. Did you mean 'two'"):
        app(["import", "databricks", "b.json", "--job", "tow"])
    assert set(exported_again("b.json", "--job", "two")["resources"]["jobs"]) == {"two"}


def test_a_job_without_a_notebook_is_refused(there):
    (there / "b.json").write_text(json.dumps({"tasks": [{"task_key": "a", "sql_task": {"warehouse_id": "1"}}]}))
    with pytest.raises(ConfigError, match="no notebook task"):
        app(["import", "databricks", "b.json"])


def test_without_out_the_file_goes_to_stdout(there, capsys):
    (there / "b.json").write_text(json.dumps({"tasks": [task("a")]}))
    assert app(["import", "databricks", "b.json"]) == 0
    assert "stages:\n  a:\n    notebook: notebooks/a.ipynb\n" in capsys.readouterr().out


def test_the_shipped_pipeline_comes_back(there, monkeypatch):
    prod = str(ROOT / "params/prod.yaml")
    assert app(["export", "databricks", "--params", prod, "--out", "first"]) == 0
    assert exported_again("first/databricks.yml") == around("first")
    found = load(("pipe",), Flags(), {}, there)
    assert list(found.stages) == list(load((prod,), Flags(), {}, ROOT).stages)
    assert found.stages["deploy"].only_if == "{{tasks.register_model.values.promoted}}"
    assert found.parameters["seed"] == 13


texts = st.sampled_from(["1", "x", "true", "{{tasks.a.values.v}}", "${var.v}", "{{job.run_id}}", "[1.5]", ""])
clusters = st.fixed_dictionaries(
    {},
    optional={
        "spark_version": st.sampled_from(["17.3.x", "16.4.x"]),
        "node_type_id": st.sampled_from(["c5.xlarge", "${var.node}"]),
        "driver_node_type_id": st.just("m5.large"),
        "num_workers": st.sampled_from([0, 2, "${var.n}"]),
        "autoscale": st.fixed_dictionaries({"min_workers": st.integers(0, 3), "max_workers": st.integers(1, 3)}),
        "runtime_engine": st.sampled_from(["PHOTON", "STANDARD"]),
        "custom_tags": st.dictionaries(st.sampled_from("ab"), texts, max_size=2),
        "aws_attributes": st.fixed_dictionaries({"availability": st.sampled_from(["SPOT", "ON_DEMAND"])}),
        "azure_attributes": st.fixed_dictionaries({"availability": st.just("SPOT_AZURE")}),
        "autotermination_minutes": st.just(10),
    },
)


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "d", "1x"]), min_size=1, max_size=5, unique=True))
    tasks = []
    for place, key in enumerate(names):
        above = draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        links = [{"task_key": up} | ({"outcome": "true"} if draw(st.booleans()) else {}) for up in above]
        run = {"notebook_path": draw(st.sampled_from(["notebooks/a.ipynb", "/Workspace/a", "notebooks/a"]))}
        run |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "base_parameters": st.dictionaries(st.sampled_from(["n", "text", "rates", "q-q"]), texts),
                    "source": st.just("GIT"),
                },
            )
        )
        condition = {
            "left": "{{tasks.a.values.v}}",
            "op": draw(st.sampled_from(["EQUAL_TO", "NOT_EQUAL"])),
            "right": "true",
        }
        kind = {"notebook_task": run} if place == 0 or draw(st.booleans()) else {"condition_task": condition}
        more = st.fixed_dictionaries(
            {},
            optional={
                "max_retries": st.sampled_from([-1, 0, 2, 200]),
                "timeout_seconds": st.sampled_from([0, 60]),
                "retry_on_timeout": st.booleans(),
                "run_if": st.sampled_from(["ALL_SUCCESS", "ALL_DONE", "NEW_ONE"]),
                "job_cluster_key": st.sampled_from(["x", "y"]),
                "new_cluster": clusters,
                "libraries": st.just([{"whl": "a.whl"}]),
            },
        )
        tasks.append({"task_key": key, **({"depends_on": links} if links else {}), **kind, **draw(more)})
    whole = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["pipe", "My job"]),
            "tags": st.dictionaries(st.sampled_from("ab"), texts, max_size=2),
            "parameters": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from(["n", "text", "zz"]), "default": texts}),
                unique_by=lambda item: item["name"],
            ),
            "queue": st.fixed_dictionaries({"enabled": st.booleans()}),
            "max_concurrent_runs": st.integers(0, 2),
            "email_notifications": st.fixed_dictionaries(
                {}, optional={"on_failure": st.just(["a@b"]), "no_alert_for_skipped_runs": st.booleans()}
            ),
            "health": st.fixed_dictionaries(
                {"rules": st.just([{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 5}])}
            ),
            "job_clusters": st.lists(
                st.fixed_dictionaries({"job_cluster_key": st.sampled_from(["x", "y"]), "new_cluster": clusters}),
                unique_by=lambda item: item["job_cluster_key"],
            ),
            "webhook_notifications": st.fixed_dictionaries({"on_start": st.lists(st.just({"id": "1"}), max_size=4)}),
            "schedule": st.fixed_dictionaries(
                {"quartz_cron_expression": st.sampled_from(["0 0 2 * * ?", "bad"]), "timezone_id": st.just("UTC")}
            ),
        },
    )
    return {**draw(whole), "tasks": tasks}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs())
def test_any_job_with_a_stage_in_it_comes_back(there, job):
    if not any(task["task_key"] != "1x" and "notebook_task" in task for task in job["tasks"]):
        return
    assert job_again(job) == patch.keyed(job)
