"""What an import refuses, with file and line, and what it takes: one row a case."""

import pytest

from stagebook.cli import call
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.config.yaml_file import read
from stagebook.errors import ConfigError

A = "{task_key: a, notebook_task: {notebook_path: notebooks/a.ipynb}}"
CLUSTER = "{job_cluster_key: c, new_cluster: {spark_version: x, node_type_id: c5.xlarge, num_workers: 1}}"


def a(fields: str) -> str:
    """A job of one task with further fields."""
    return f"tasks:\n  - task_key: a\n    notebook_task: {{notebook_path: notebooks/a.ipynb}}\n    {fields}\n"


def job(fields: str) -> str:
    """A job of one plain task with further fields of the job."""
    return f"tasks: [{A}]\n{fields}\n"


def cluster(fields: str) -> str:
    """A job with a cluster that has further fields."""
    return f"tasks: [{A}]\njob_clusters: [{{job_cluster_key: c, new_cluster: {{spark_version: x, {fields}}}}}]\n"


MALFORMED = [
    # the graph
    (a("depends_on: [{task_key: a}]"), "circle: a → a"),
    (f"tasks: [{A}, {{task_key: b, depends_on: [{{task_key: c}}], disabled: true, notebook_task: {{notebook_path: b}}}}, "
     "{task_key: c, depends_on: [{task_key: b}], notebook_task: {notebook_path: c}}]", "circle: b → c → b"),
    (a("depends_on: [{task_key: nobody}]"), "no task 'nobody'"),
    (a("depends_on: nobody"), "'nobody' is not a list"),
    (a("depends_on: {task_key: b}"), "is not a list"),
    (a("depends_on: [b]"), "'b' is not a mapping"),
    (a("depends_on: [{}]"), "'task_key' is missing"),
    (a("depends_on: [{task_key: 3}]"), "3 is not text"),
    (a("depends_on: [null]"), "is empty"),
    (f"tasks: [{A}, {A}]", "'a' occurs twice among the tasks"),
    (f"tasks: [{A}, null]", "is empty"),
    ("tasks: []", "no notebook task"),
    ("tasks: null", "no notebook task"),
    ("tasks: 3", "3 is not a list"),
    ("tasks: {a: {notebook_task: {notebook_path: a}}}", "is not a list"),
    ("tasks: [a]", "'a' is not a mapping"),
    ("tasks: [{notebook_task: {notebook_path: a}}]", "'task_key' is missing"),
    ("tasks: [{task_key: [a], notebook_task: {notebook_path: a}}]", r"\['a'\] is not text"),
    ("tasks: [{task_key: a b, notebook_task: {notebook_path: a}}]", "'a b' is not a key"),
    # tasks
    ("tasks: [{task_key: a}]", "has no type"),
    ("tasks: [{task_key: a, notebook_task: notebooks/a}]", "'notebooks/a' is not a mapping"),
    ("tasks: [{task_key: a, notebook_task: null}]", "has no type"),
    ("tasks: [{task_key: a, notebook_task: {}}]", "'notebook_path' is missing"),
    ("tasks: [{task_key: a, notebook_task: {notebook_path: [x]}}]", r"\['x'\] is not text"),
    ("tasks: [{task_key: a, notebook_task: {notebook_path: a, base_parameters: [x]}}]", "is not a mapping"),
    ("tasks: [{task_key: a, notebook_task: {notebook_path: a, base_parameters: {x: [1]}}}]", r"\[1\] is not text"),
    (a("sql_task: {warehouse_id: x}"), "a task is of one type"),
    (a("max_retries: many"), "'many' is not a whole number"),
    (a("max_retries: true"), "True is not a whole number"),
    (a("max_retries: -7"), "out of bounds"),
    (a("timeout_seconds: .inf"), "inf is not a whole number"),
    (a("timeout_seconds: 1.5"), "is not a whole number"),
    (a("min_retry_interval_millis: -1"), "out of bounds"),
    (a("retry_on_timeout: sometimes"), "'sometimes' is not true or false"),
    (a("run_if: [ALL_DONE]"), r"\['ALL_DONE'\] is not allowed"),
    (a("run_if: ALL_DNE"), "Did you mean 'ALL_DONE'"),
    (a("run_if: {a: ALL_DONE}"), "is not allowed"),
    (a("job_cluster_key: [c]"), r"\['c'\] is not text"),
    (a("job_cluster_key: nobody"), "no 'nobody' is defined"),
    (a("environment_key: nobody"), "no 'nobody' is defined"),
    (a("new_cluster: small"), "'small' is not a mapping"),
    (a("libraries: {pypi: x}"), "is not a list"),
    (a("retries: 3"), "unknown key"),
    ("tasks: [{task_key: a, condition_task: {left: x}}, {task_key: b, notebook_task: {notebook_path: b}}]", "'op' is missing"),
    (f"tasks: [{A}, {{task_key: f, for_each_task: {{inputs: '[1]', task: x}}}}]", "'x' is not a mapping"),
    # clusters
    (cluster("node_type_id: [x], num_workers: 1"), r"\['x'\] is not text"),
    (cluster("aws_attributes: spot, num_workers: 1"), "'spot' is not a mapping"),
    (cluster("azure_attributes: [spot], num_workers: 1"), "is not a mapping"),
    (cluster("autoscale: 3"), "3 is not a mapping"),
    (cluster("autoscale: {min_workers: 5, max_workers: 2}"), "min_workers is 5, more than max_workers"),
    (cluster("autoscale: {min_workers: few, max_workers: 2}"), "'few' is not a whole number"),
    (cluster("num_workers: 1, spark_conf: fast"), "'fast' is not a mapping"),
    (cluster("num_workers: 0, spark_conf: [fast], custom_tags: 3"), "is not a mapping"),
    (job("job_clusters: {c: {}}"), "is not a list"),
    (job("job_clusters: [c]"), "'c' is not a mapping"),
    (job(f"job_clusters: [{CLUSTER}, {CLUSTER}]"), "occurs twice"),
    # the job
    (job("parameters: {env: prod}"), "is not a list"),
    (job("parameters: [env]"), "'env' is not a mapping"),
    (job("parameters: [{name: env}]"), "'default' is missing"),
    (job("parameters: [{name: env, default: [x]}]"), "is not text"),
    (job("parameters: [{name: e, default: x}, {name: e, default: y}]"), "occurs twice"),
    (job("schedule: nightly"), "'nightly' is not a mapping"),
    (job("schedule: {quartz_cron_expression: 0 2 * * *, timezone_id: UTC}"), "this one has 5"),
    (job("schedule: {quartz_cron_expression: 0 0 2 * * ?, timezone_id: Mars}"), "no time zone 'Mars'"),
    (job("schedule: {quartz_cron_expression: 0 0 2 * * ?}"), "'timezone_id' is missing"),
    (job("schedule: {quartz_cron_expression: 0 0 2 * * ?, timezone_id: UTC}\ncontinuous: {pause_status: PAUSED}"),
     "a job starts in one way, this one by schedule and continuous"),
    (job("schedule: {quartz_cron_expression: 0 0 2 * * ?, timezone_id: UTC}\ntrigger: {periodic: {interval: 1, unit: DAYS}}"),
     "by schedule and trigger"),
    (job("continuous: {}\ntrigger: {}"), "by trigger and continuous"),
    (job("tags: [a]"), "is not a mapping"),
    (job("tags: {a: [1]}"), "is not text"),
    (job("queue: yes"), "'yes' is not a mapping"),
    (job("email_notifications: a@b.c"), "is not a mapping"),
    (job("email_notifications: {on_failure: a@b.c}"), "is not a list"),
    (job("webhook_notifications: {on_failure: [x]}"), "'x' is not a mapping"),
    (job("health: {rules: {metric: x}}"), "is not a list"),
    (job("max_concurrent_runs: none"), "'none' is not a whole number"),
    (job("name: [x]"), "is not text"),
    (job("definition: {x: 1}"), "unknown key"),
    # the bundle around it
    ("resources: {jobs: [a]}", "is not a mapping"),
    ("resources: {jobs: {a: x}}", "'x' is not a mapping"),
    ("resources: jobs", "'jobs' is not a mapping"),
    (f"bundle: x\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "'x' is not a mapping"),
    (f"bundle: {{name: x}}\nvariables: [y]\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "is not a mapping"),
    (f"bundle: {{name: x}}\ntargets: {{dev: {{workspace: y}}}}\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "'y' is not a mapping"),
    (f"bundle: {{name: x}}\ntargets: [dev]\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "is not a mapping"),
    (f"bundle: {{name: x}}\ntargets: {{dev: {{variables: [x]}}}}\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "is not a mapping"),
    (f"bundle: {{name: x}}\nworkspace: y\nresources: {{jobs: {{a: {{tasks: [{A}]}}}}}}", "'y' is not a mapping"),
    ("bundle: {name: x}\nresources: {}", "none, there is no job in it"),
    # YAML
    ("tasks: 1\ntasks: 2", "twice"),
    (f"a: &a {{x: 1}}\nb: &b {{y: 1}}\ntasks: [{A}]\ntags: {{<<: *a, <<: *b}}", "'<<' occurs twice"),
    ("a: &a [*a]", "aliases grow"),
    ("tasks: [*nobody]", "undefined alias"),
    ("- a", "must be a mapping"),
    ("", "none, there is no job in it|no notebook task"),
    ("tasks: [{task_key: a", "this is not YAML"),
    ("\ttasks: []", "this is not YAML"),
    ("tasks: !!python/object/apply:os.system [ls]", "the tag"),
    (job("max_concurrent_runs: " + "1" * 5000), "more than 1,000 digits"),
]  # fmt: skip

TWO = "{task_key: b, depends_on: [{task_key: a}], notebook_task: {notebook_path: notebooks/a.ipynb}%s}"
BUNDLE = "resources: {jobs: {j: {tasks: [" + A + "]}}}"

VALID = [
    f"tasks: [{A}]",
    "{\"tasks\": [" + '{"task_key": "a", "notebook_task": {"notebook_path": "notebooks/a.ipynb"}}' + "]}",
    "settings: {tasks: [" + A + "]}\njob_id: 3",
    BUNDLE,
    f"bundle: {{name: x}}\n{BUNDLE}",
    f"bundle: {{name: x}}\ntargets: {{dev: {{mode: development}}, prod: {{}}}}\n{BUNDLE}",
    f"bundle: {{name: x}}\ntargets: {{dev: null}}\n{BUNDLE}",
    f"bundle: {{name: x}}\nvariables: {{v: {{default: 3}}, w: {{}}}}\n{BUNDLE}",
    f"bundle: {{name: x}}\ntargets: {{dev: {{resources: {{jobs: {{j: {{tasks: [{A}]}}}}}}}}}}",
    f"tasks: [{A}, {TWO % ''}]",
    f"tasks: [{A}, {TWO % ', run_if: ALL_DONE'}]",
    f"tasks: [{A}, {TWO % ', max_retries: -1'}]",
    f"tasks: [{A}, {TWO % ', timeout_seconds: 0'}]",
    f"tasks: [{A}, {TWO % ', disabled: true'}]",
    f"tasks: [{A}, {{task_key: s, sql_task: {{warehouse_id: x}}}}]",
    f"tasks: [{A}, {{task_key: 1x, run_job_task: {{job_id: 3}}}}]",
    f"tasks: [{A}, {{task_key: f, for_each_task: {{inputs: '[1]', task: {A}}}}}]",
    job("parameters: [{name: n, default: '3'}]"),
    job("parameters: [{name: n, default: 3}]"),
    "tasks: [{task_key: a, notebook_task: {notebook_path: notebooks/a.ipynb, base_parameters: {n: 3, b: true, x: 0.5}}}]",
    "tasks: [{task_key: a, notebook_task: {notebook_path: /Workspace/x/a}}]",
    "tasks: [{task_key: a, notebook_task: {notebook_path: '${var.path}/a'}}]",
    job("schedule: {quartz_cron_expression: 0 0 2 * * ?, timezone_id: UTC}"),
    job("continuous: {pause_status: PAUSED}"),
    job("trigger: {periodic: {interval: 1, unit: DAYS}}"),
    job("tags: {}\nparameters: []\njob_clusters: []"),
    job("name: null\nschedule: null"),
    job("queue: {enabled: true}\nmax_concurrent_runs: 3"),
    job("health: {rules: [{metric: RUN_DURATION_SECONDS, op: GREATER_THAN, value: 5}]}"),
    job(f"job_clusters: [{CLUSTER}]"),
    cluster("node_type_id: c5.xlarge, autoscale: {min_workers: 1, max_workers: 2}, aws_attributes: {availability: SPOT}"),
    f"definitions: &d {{max_retries: 2}}\ntasks: [{{<<: *d, {A[1:]}]",
    f"definitions:\n  retry: &d {{max_retries: 2}}\n  other: &e {{timeout_seconds: 5}}\ntasks: [{{<<: [*d, *e], {A[1:]}]",
    f"x-shared: {{r: &r {{max_retries: 2}}}}\nbundle: {{name: x}}\nresources: {{jobs: {{j: {{tasks: [{{<<: *r, {A[1:]}]}}}}}}",
]  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch, notebook):
    """A project with one notebook; the working directory."""
    notebook("a", "1", parameters="n: int = 1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=[str(number) for number in range(len(MALFORMED))])
def test_a_malformed_job_is_refused_with_its_place(project, text, message):
    (project / "j.yml").write_text(text)
    with pytest.raises(ConfigError, match=rf"j\.yml(:\d+)?: (.*\n)?.*({message})"):
        call(["databricks", "import", "j.yml", "--out", "params/p.yaml"])
    assert not (project / "params/p.yaml").exists()


@pytest.mark.parametrize("text", VALID, ids=[str(number) for number in range(len(VALID))])
def test_a_valid_job_becomes_a_parameter_file_that_is_valid(project, text):
    (project / "j.yml").write_text(text)
    assert call(["databricks", "import", "j.yml", "--out", "params/p.yaml"]) == 0
    values = read(project / "params/p.yaml", "p").values
    assert "a" in values["stages"]
    if (project / values["stages"]["a"]["notebook"]).is_file():
        assert load(("p",), Flags(), {}, project).stages["a"]


def test_there_are_many_cases():
    assert len(MALFORMED) >= 57
    assert len(VALID) >= 30
