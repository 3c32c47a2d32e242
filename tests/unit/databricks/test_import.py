"""Importing a Databricks job: stages hold what they can, and an export gives the job back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fixtures.properties import costly_examples
from hypothesis import given
from hypothesis import strategies as st

from stagebook.cli import call
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.config.yaml_file import read
from stagebook.databricks import merge_patch
from stagebook.databricks.merge_patch import lists_to_mappings
from stagebook.errors import ConfigError

EXAMPLE = Path(__file__).resolve().parents[2] / "fixtures/databricks/example_databricks.yml"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path, monkeypatch, notebook):
    """A project with three notebooks; the working directory."""
    notebook("01_data_prep", "1", parameters="profile: str = 'dev'\nn: int = 1\nrates: list[float] = []")
    notebook("06", "1")
    notebook("a", "1", parameters="n: int = 1\ntext: str = ''\nrates: list[float] = []")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bundle_in(folder: str) -> dict[str, Any]:
    """An exported bundle merged into one mapping, with the lists of its jobs as mappings by key."""
    bundle = read(Path(folder) / "databricks.yml", folder).values
    for path in Path(folder).glob("resources/*.yml"):
        bundle = merge_patch.apply(bundle, read(path, str(path)).values)
    for name, job in bundle["resources"]["jobs"].items():
        bundle["resources"]["jobs"][name] = lists_to_mappings(job)
    return bundle


def round_trip(file: str, *flags: str) -> dict[str, Any]:
    """The bundle after an import of this file and an export of the result."""
    assert call(["databricks", "import", file, "--out", "params/pipe.yaml", *flags]) == 0
    assert call(["databricks", "export", "--params", "pipe", "--out", "out"]) == 0
    return bundle_in("out")


def job_round_trip(job: dict[str, Any]) -> dict[str, Any]:
    """The job after an import and an export, its lists as mappings by key."""
    shutil.rmtree("out", ignore_errors=True)
    Path("job.json").write_text(json.dumps(job))
    (exported,) = round_trip("job.json")["resources"]["jobs"].values()
    return exported


def test_import_and_export_of_the_example_is_a_fixed_point(project):
    (project / "bundle").mkdir()
    (project / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    example = read(EXAMPLE, "example").values
    example["resources"]["jobs"]["pipe"] = lists_to_mappings(example["resources"]["jobs"]["pipe"])
    assert round_trip("bundle/databricks.yml") == example
    parameter_file = Path("params/pipe.yaml").read_text()
    assert round_trip("bundle/databricks.yml") == example
    assert Path("params/pipe.yaml").read_text() == parameter_file
    tasks = read(Path("out/resources/pipe.job.yml"), "out").values["resources"]["jobs"]["pipe"]["tasks"]
    assert [task["task_key"] for task in tasks] == ["data_prep", "sweep", "gate", "deploy"]


def test_the_import_lists_the_fields_that_only_databricks_supports(project, capsys):
    (project / "bundle").mkdir()
    (project / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    call(["databricks", "import", "bundle/databricks.yml", "--out", "params/pipe.yaml"])
    stderr = capsys.readouterr().err
    for line in (
        "task sweep (for_each_task): it is not a stage; a local run starts the stages after it without it",
        "task gate (condition_task): it is not a stage",
        "task data_prep: retry_on_timeout, notebook_task.source, notebook_task.base_parameters.run_id, libraries",
        "job cluster etl: new_cluster.node_type_id, new_cluster.custom_tags.stage",
        "job: timeout_seconds, budget_policy_id, parameters.run_date.default",
        "bundle: bundle.name, variables.node_type.description",
    ):
        assert line in stderr
        assert line in Path("params/pipe.yaml").read_text()


def test_stages_hold_what_they_can(project):
    (project / "bundle").mkdir()
    (project / "bundle/databricks.yml").write_text(EXAMPLE.read_text())
    call(["databricks", "import", "bundle/databricks.yml", "--out", "params/pipe.yaml"])
    pipeline = load(("pipe",), Flags(), {}, project)
    prep, deploy = pipeline.stages["data_prep"], pipeline.stages["deploy"]
    assert prep.notebook == project / "notebooks/01_data_prep.ipynb"
    assert (prep.retry.max_retries, prep.retry.min_interval.total_seconds(), prep.profile) == (2, 60.0, "etl")
    assert prep.parameters == {"profile": "prod"}
    assert deploy.depends_on == ("data_prep",)
    etl = pipeline.deployment.targets["prod"].profiles["etl"]
    assert (etl.workers, etl.spot, etl.photon) == ((1, 4), True, False)
    assert pipeline.deployment.run_duration_seconds == 3600


def task(key: str, **fields: Any) -> dict[str, Any]:
    return {"task_key": key, "notebook_task": {"notebook_path": "notebooks/a.ipynb"}} | fields


def test_a_condition_on_a_scrap_becomes_only_if_whatever_its_key(project):
    test = {"left": "{{tasks.a.values.ok}}", "op": "EQUAL_TO", "right": "true"}
    job = {
        "name": "x",
        "tasks": [
            task("a"),
            {"task_key": "check", "depends_on": [{"task_key": "a"}], "condition_task": test},
            task("b", depends_on=[{"task_key": "check", "outcome": "true"}]),
        ],
    }
    assert job_round_trip(job) == lists_to_mappings(job)
    stage = load(("pipe",), Flags(), {}, project).stages["b"]
    assert (stage.only_if, stage.depends_on) == ("{{tasks.a.values.ok}}", ("a",))


@pytest.mark.parametrize(
    ("left", "op", "fields"),
    [
        ("{{tasks.a.values.ok}}", "EQUAL_TO", {"run_if": "ALL_DONE"}),
        ("{{tasks.a.values.ok}}", "NOT_EQUAL", {}),
        ("{{tasks.b.values.ok}}", "EQUAL_TO", {}),
        ("{{job.parameters.ok}}", "EQUAL_TO", {}),
        ("is {{tasks.a.values.ok}}", "EQUAL_TO", {}),
    ],
)
def test_any_other_condition_is_kept_for_databricks_alone(project, left, op, fields):
    test = {"left": left, "op": op, "right": "true"}
    check = {"task_key": "check", "depends_on": [{"task_key": "a"}], "condition_task": test}
    b = task("b", depends_on=[{"task_key": "check", "outcome": "true"}], **fields)
    job = {"name": "x", "tasks": [task("a"), check, b]}
    assert job_round_trip(job) == lists_to_mappings(job)
    stage = load(("pipe",), Flags(), {}, project).stages["b"]
    assert (stage.only_if, stage.depends_on) == (None, ("a",))


def test_parameters_become_values_that_fit_the_notebook(project):
    parameters = {"n": "3", "text": "3", "rates": "[1.50]", "other": "x", "run": "{{job.run_id}}"}
    job = {
        "name": "x",
        "parameters": [{"name": "n", "default": "7"}, {"name": "nobody", "default": "1"}],
        "tasks": [task("a", notebook_task={"notebook_path": "notebooks/a.ipynb", "base_parameters": parameters})],
    }
    assert job_round_trip(job) == lists_to_mappings(job)
    pipeline = load(("pipe",), Flags(), {}, project)
    assert pipeline.parameters == {"n": 7}
    assert pipeline.stages["a"].parameters == {"n": 7, "text": "3", "rates": [1.5]}


def test_a_response_of_the_jobs_api_is_imported(project):
    job = {
        "name": "nightly run",
        "format": "MULTI_TASK",
        "max_concurrent_runs": 1,
        "tasks": [task("a", max_retries=-1)],
    }
    (project / "r.json").write_text(json.dumps({"job_id": 1, "settings": job}))
    assert round_trip("r.json")["resources"]["jobs"]["pipeline"] == lists_to_mappings(job)


def test_one_of_several_jobs_has_to_be_selected(project):
    jobs = {name: {"tasks": [task("a")]} for name in ("one", "two")}
    (project / "b.json").write_text(json.dumps({"resources": {"jobs": jobs}}))
    with pytest.raises(ConfigError, match="which job is meant.*\n.*one, two"):
        call(["databricks", "import", "b.json"])
    with pytest.raises(ConfigError, match="no job 'tow'. Did you mean 'two'"):
        call(["databricks", "import", "b.json", "--job", "tow"])
    assert set(round_trip("b.json", "--job", "two")["resources"]["jobs"]) == {"two"}


def test_a_job_without_a_notebook_is_refused(project):
    (project / "b.json").write_text(json.dumps({"tasks": [{"task_key": "a", "sql_task": {"warehouse_id": "1"}}]}))
    with pytest.raises(ConfigError, match=r"no notebook task that can be a stage; its tasks: a \(sql_task\)"):
        call(["databricks", "import", "b.json"])


def test_without_out_the_parameter_file_goes_to_stdout(project, capsys):
    (project / "b.json").write_text(json.dumps({"tasks": [task("a")]}))
    assert call(["databricks", "import", "b.json"]) == 0
    assert "stages:\n  a:\n    notebook: notebooks/a.ipynb\n" in capsys.readouterr().out


def test_both_branches_of_a_condition_are_named(project, capsys):
    test = {"left": "{{job.parameters.env}}", "op": "EQUAL_TO", "right": "prod"}
    job = {
        "name": "x",
        "parameters": [{"name": "env", "default": "dev"}],
        "tasks": [
            task("a"),
            {"task_key": "check", "depends_on": [{"task_key": "a"}], "condition_task": test},
            task("yes", depends_on=[{"task_key": "check", "outcome": "true"}]),
            task("no", depends_on=[{"task_key": "check", "outcome": "false"}]),
        ],
    }
    assert job_round_trip(job) == lists_to_mappings(job)
    stderr, text = capsys.readouterr().err, Path("params/pipe.yaml").read_text()
    for stage, outcome in (("yes", "true"), ("no", "false")):
        line = f"stage {stage} runs on Databricks only if the condition 'check' is {outcome}; here it runs in any case"
        assert line in stderr
        assert line in text


def test_numbers_among_parameters_become_the_texts_that_databricks_passes(project, capsys):
    values = "{n: 3, text: 0.10, rates: [1.5]}"
    (project / "j.yml").write_text(
        "parameters: [{name: t, default: 5}]\n"
        f"tasks: [{{task_key: a, notebook_task: {{notebook_path: notebooks/a.ipynb, base_parameters: {values}}}}}]"
    )
    with pytest.raises(
        ConfigError, match=r"j.yml:2: tasks\[0\].notebook_task.base_parameters.rates: \[1.5\] is not text"
    ):
        call(["databricks", "import", "j.yml"])
    (project / "j.yml").write_text((project / "j.yml").read_text().replace("[1.5]", "true"))
    (exported,) = round_trip("j.yml")["resources"]["jobs"].values()
    assert exported["tasks"]["a"]["notebook_task"]["base_parameters"] == {"n": "3", "text": "0.1", "rates": "true"}
    assert exported["parameters"] == {"t": {"default": "5"}}
    assert load(("pipe",), Flags(), {}, project).stages["a"].parameters["n"] == 3
    assert 'base_parameters.n: 3 is passed to the notebook as the text "3"' in capsys.readouterr().err


def test_tables_that_a_notebook_names_are_declared_and_others_are_asked_for(project, notebook, capsys):
    notebook(
        "t",
        "x = stage.read('flights')\ny = stage.read('weather', columns=['a'])",
        "stage.write(x, schema.FLIGHTS)\nstage.write(x, 'features')\nstage.read(f'raw_{x}')",
    )
    Path("j.json").write_text(
        json.dumps({"tasks": [task("a"), task("t", notebook_task={"notebook_path": "notebooks/t.ipynb"})]})
    )
    assert call(["databricks", "import", "j.json", "--out", "params/pipe.yaml"]) == 0
    stages = read(Path("params/pipe.yaml"), "p").values["stages"]
    assert (stages["t"]["reads"], stages["t"]["writes"]) == (["flights", "weather"], ["features"])
    assert not {"reads", "writes"} & set(stages["a"])
    line = (
        "stage t: add the tables of these calls, which do not name them, to reads or writes:"
        " stage.write in code cell 2; stage.read in code cell 2"
    )
    assert line in capsys.readouterr().err
    assert f"# - {line}" in Path("params/pipe.yaml").read_text()


def test_a_job_that_only_a_target_defines_is_found(project, capsys):
    job = {"name": "j", "tasks": [task("a")]}
    targets = {"dev": {"resources": {"jobs": {"j": job}}}, "prod": {"default": True}}
    Path("databricks.yml").write_text(json.dumps({"bundle": {"name": "b"}, "targets": targets}))
    exported = round_trip("databricks.yml")
    assert exported["resources"]["jobs"]["j"] == lists_to_mappings(job)
    assert "resources" not in exported["targets"]["dev"]
    assert "only the target 'dev' defines the job" in capsys.readouterr().err


def test_the_default_target_wins_where_several_define_a_job(project):
    jobs = {name: {"jobs": {"j": {"tasks": [task(name)]}}} for name in ("dev", "prod")}
    targets = {"dev": {"resources": jobs["dev"]}, "prod": {"default": True, "resources": jobs["prod"]}}
    Path("databricks.yml").write_text(json.dumps({"bundle": {"name": "b"}, "targets": targets}))
    assert call(["databricks", "import", "databricks.yml", "--out", "params/pipe.yaml"]) == 0
    assert list(load(("pipe",), Flags(), {}, project).stages) == ["prod"]


def test_a_container_of_anchors_is_used_and_not_exported(project):
    Path("databricks.yml").write_text(
        "bundle: {name: b}\ndefinitions:\n  often: &often {max_retries: 3}\nresources: {jobs: {j: {tasks: "
        "[{task_key: a, <<: *often, notebook_task: {notebook_path: notebooks/a.ipynb}}]}}}\n"
    )
    exported = round_trip("databricks.yml")
    assert exported["resources"]["jobs"]["j"]["tasks"]["a"]["max_retries"] == 3
    assert "definitions" not in exported


def test_tasks_of_other_types_are_named(project, capsys):
    tasks = [task("a"), {"task_key": "q", "sql_task": {"warehouse_id": "1"}}, task("1x")]
    Path("j.json").write_text(json.dumps({"tasks": tasks}))
    assert call(["databricks", "import", "j.json"]) == 0
    stderr = capsys.readouterr().err
    assert "task q (sql_task): it is not a stage" in stderr
    assert "task 1x (notebook_task): it is not a stage" in stderr
    Path("j.json").write_text(json.dumps({"tasks": tasks[1:]}))
    with pytest.raises(ConfigError, match=r"its tasks: q \(sql_task\), 1x \(notebook_task\)"):
        call(["databricks", "import", "j.json"])


def test_a_second_export_has_the_wheels_project_and_the_requirements(project, notebook):
    Path("lib/mine").mkdir(parents=True)
    Path("params").mkdir(exist_ok=True)
    Path("params/first.yaml").write_text(
        "pipeline: p\nstages: {a: {notebook: notebooks/a.ipynb, profile: c}}\n"
        "profiles: {c: {node_type_id: c5.xlarge, num_workers: 1}}\n"
        "databricks: {packages: [lib/mine], requirements: ['tenacity==9.0.0', 'x>=2']}\n"
    )
    assert call(["databricks", "export", "--params", "first", "--out", "first"]) == 0
    assert round_trip("first/databricks.yml") == bundle_in("first")
    for name in ("pyproject.toml", "requirements.txt"):
        first, second = (Path(folder, name).read_text().split("\n", 1)[1] for folder in ("first", "out"))
        assert first == second


def test_an_export_names_the_files_that_tasks_need_and_it_does_not_write(project, capsys):
    libraries = [{"whl": "../dist/*.whl"}, {"requirements": "../reqs/gpu.txt"}]
    Path("j.json").write_text(json.dumps({"name": "j", "tasks": [task("a", libraries=libraries)]}))
    round_trip("j.json")
    stderr = capsys.readouterr().err
    assert "out/pyproject.toml is needed by tasks, and an export does not write it: copy it there" in stderr
    assert "out/reqs/gpu.txt is needed by tasks" in stderr


def test_the_shipped_pipeline_survives_an_export_and_an_import(project):
    prod = str(ROOT / "params/prod.yaml")
    assert call(["databricks", "export", "--params", prod, "--out", "first"]) == 0
    assert round_trip("first/databricks.yml") == bundle_in("first")
    pipeline = load(("pipe",), Flags(), {}, project)
    assert list(pipeline.stages) == list(load((prod,), Flags(), {}, ROOT).stages)
    assert pipeline.stages["deploy"].only_if == "{{tasks.register_model.values.promoted}}"
    assert pipeline.parameters["seed"] == 13


texts = st.sampled_from(["1", "x", "true", "{{tasks.a.values.v}}", "${var.v}", "{{job.run_id}}", "[1.5]", ""])
sizes = st.one_of(
    st.fixed_dictionaries({"num_workers": st.sampled_from([2, "${var.n}"])}),
    st.just({"num_workers": 0, "is_single_node": True}),
    st.fixed_dictionaries(
        {"autoscale": st.fixed_dictionaries({"min_workers": st.integers(0, 3), "max_workers": st.integers(3, 5)})}
    ),
)
details = st.fixed_dictionaries(
    {"spark_version": st.sampled_from(["17.3.x", "16.4.x"])},
    optional={
        "node_type_id": st.sampled_from(["c5.xlarge", "${var.node}"]),
        "driver_node_type_id": st.just("m5.large"),
        "runtime_engine": st.sampled_from(["PHOTON", "STANDARD"]),
        "custom_tags": st.dictionaries(st.sampled_from("ab"), texts, max_size=2),
        "aws_attributes": st.fixed_dictionaries({"availability": st.sampled_from(["SPOT", "ON_DEMAND"])}),
        "azure_attributes": st.fixed_dictionaries({"availability": st.just("SPOT_AZURE")}),
        "autotermination_minutes": st.just(10),
    },
)
clusters = st.builds(lambda cluster, size: {**cluster, **size}, details, sizes)
computes = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"job_cluster_key": st.sampled_from(["x", "y"])}),
    st.fixed_dictionaries({"new_cluster": clusters}),
)
notebook_tasks = st.fixed_dictionaries(
    {"notebook_path": st.sampled_from(["notebooks/a.ipynb", "/Workspace/a", "notebooks/a"])},
    optional={
        "base_parameters": st.dictionaries(st.sampled_from(["n", "text", "rates", "q-q"]), texts),
        "source": st.just("GIT"),
    },
)
fields_of_any_task = st.fixed_dictionaries(
    {}, optional={"timeout_seconds": st.sampled_from([0, 60]), "run_if": st.sampled_from(["ALL_SUCCESS", "ALL_DONE"])}
)
fields_of_notebook_tasks = st.fixed_dictionaries(
    {},
    optional={
        "max_retries": st.sampled_from([-1, 0, 2, 200]),
        "retry_on_timeout": st.booleans(),
        "libraries": st.just([{"whl": "a.whl"}]),
    },
)


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A job that Databricks accepts."""
    names = draw(st.lists(st.sampled_from(["a", "b", "c", "d", "1x"]), min_size=1, max_size=5, unique=True))
    tasks: list[dict[str, Any]] = []
    for index, key in enumerate(names):
        upstream = draw(st.lists(st.sampled_from(tasks), unique_by=lambda task: task["task_key"])) if tasks else []
        links = [
            {"task_key": task["task_key"]}
            | ({"outcome": draw(st.sampled_from(["true", "false"]))} if "condition_task" in task else {})
            for task in upstream
        ]
        task = {"task_key": key, **({"depends_on": links} if links else {}), **draw(fields_of_any_task)}
        if index == 0 or draw(st.booleans()):
            task |= {"notebook_task": draw(notebook_tasks), **draw(computes), **draw(fields_of_notebook_tasks)}
        else:
            op = draw(st.sampled_from(["EQUAL_TO", "NOT_EQUAL"]))
            task["condition_task"] = {"left": "{{tasks.a.values.v}}", "op": op, "right": "true"}
        tasks.append(task)
    settings_of_job = st.fixed_dictionaries(
        {
            "job_clusters": st.tuples(clusters, clusters).map(
                lambda pair: [
                    {"job_cluster_key": key, "new_cluster": cluster} for key, cluster in zip("xy", pair, strict=True)
                ]
            )
        }
        if any("job_cluster_key" in task for task in tasks)
        else {},
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
            "webhook_notifications": st.fixed_dictionaries({"on_start": st.lists(st.just({"id": "1"}), max_size=3)}),
            "schedule": st.fixed_dictionaries(
                {"quartz_cron_expression": st.sampled_from(["0 0 2 * * ?"]), "timezone_id": st.just("UTC")}
            ),
        },
    )
    return {**draw(settings_of_job), "tasks": tasks}


@costly_examples(0.15, shares_fixtures=True)
@given(jobs())
def test_any_job_with_a_notebook_task_survives_an_import_and_an_export(project, job):
    if not any(task["task_key"] != "1x" and "notebook_task" in task for task in job["tasks"]):
        return
    assert job_round_trip(job) == lists_to_mappings(job)
