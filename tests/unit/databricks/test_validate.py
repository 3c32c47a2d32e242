"""Validation of any bundle or job: a real one passes, and each fault put into it is reported with file and line."""

from pathlib import Path
from zoneinfo import available_timezones

import pytest

from stagebook.config.yaml_file import parse
from stagebook.databricks.validate import check
from stagebook.databricks.validate.fields import ENUMS, KEYS, TASK_TYPES

EXAMPLE = Path(__file__).resolve().parents[2] / "fixtures/databricks/example_databricks.yml"
TEXT = EXAMPLE.read_text()
ZONES = frozenset(available_timezones())


def findings(*texts: str):
    documents = [parse(text, f"f{number}.yml", allow_aliases=True) for number, text in enumerate(texts)]
    return [str(finding) for finding in check(documents, ZONES).findings]


def test_a_valid_bundle_has_no_findings():
    assert findings(TEXT) == []


def test_a_reference_to_an_unknown_task_is_a_note():
    notes = check([parse(TEXT, "f.yml")], ZONES).notes
    assert [str(note) for note in notes] == [
        "f.yml:59: resources.jobs.pipe.tasks[2]: {{tasks.validate.values.auc}}: there is no task 'validate'."
    ]


FAULTS = [
    # unknown keys, at every depth
    ("max_retries: 2", "max_retry: 2", "unknown key. Did you mean 'max_retries'"),
    ("run_if: ALL", "runif: ALL", "unknown key. Did you mean 'run_if'"),
    ("job_clusters:", "job_cluster:", "unknown key. Did you mean 'job_clusters'"),
    ("      tasks:", "      task:", "unknown key. Did you mean 'tasks'"),
    ("node_type_id:", "node_type:", "unknown key. Did you mean 'node_type_id'"),
    ("max_workers: 4", "max_worker: 4", "unknown key. Did you mean 'max_workers'"),
    ("first_on_demand:", "first_ondemand:", "unknown key. Did you mean 'first_on_demand'"),
    ("on_failure: [a@b.c]", "on_fail: [a@b.c]", "unknown key. Did you mean 'on_failure'"),
    ("variables:", "variable:", "unknown key. Did you mean 'variables'"),
    ("  jobs:\n", "  job:\n", "unknown kind of resource. Did you mean 'jobs'"),
    ("{pypi:", "{pypy:", "unknown key. Did you mean 'pypi'"),
    ("concurrency: 3", "concurrencys: 3", "unknown key. Did you mean 'concurrency'"),
    ("mode: production", "mode: productions", "'productions' is not allowed. Did you mean 'production'"),
    # enums and types
    ("run_if: ALL_SUCCESS", "run_if: ALL_SUCESS", "'ALL_SUCESS' is not allowed. Did you mean 'ALL_SUCCESS'"),
    ("op: GREATER_THAN_OR_EQUAL", "op: '>='", "'>=' is not allowed"),
    ("SPOT_WITH_FALLBACK", "SPOT_FALLBACK", "Did you mean 'SPOT_WITH_FALLBACK'"),
    ("pause_status: UNPAUSED", "pause_status: RUNNING", "'RUNNING' is not allowed"),
    ("source: WORKSPACE", "source: DISK", "'DISK' is not allowed"),
    ("performance_target: STANDARD", "performance_target: CHEAP", "'CHEAP' is not allowed"),
    ("level: CAN_MANAGE", "level: CAN_EDIT", "'CAN_EDIT' is not allowed"),
    ("max_retries: 2", "max_retries: two", "'two' is not a whole number"),
    ("timeout_seconds: 1800", "timeout_seconds: 30.5", "30.5 is not a whole number"),
    ("retry_on_timeout: false", "retry_on_timeout: 1", "1 is not true or false"),
    ("profile: prod,", "profile: prod, seed: 3,", "3 is not text. Put it in quotes"),
    ('environment_version: "4"', "environment_version: 4", "4 is not text. Put it in quotes"),
    ("depends_on: [{task_key: sweep}]", "depends_on: sweep", "'sweep' is not a list"),
    (", right: \"0.8\"", ", right: 0.8", "0.8 is not text"),
    # the graph
    ("depends_on: [{task_key: data_prep}]", "depends_on: [{task_key: data_prap}]", "there is no task 'data_prap'. Did you mean 'data_prep'"),
    ("depends_on: [{task_key: data_prep}]", "depends_on: [{task_key: deploy}]", "in a circle: .*sweep"),
    ("depends_on: [{task_key: sweep}]", "depends_on: [{task_key: gate}]", "in a circle: gate → gate"),
    ("task_key: deploy", "task_key: gate", "'gate' occurs twice among the tasks"),
    ("- task_key: deploy\n", "- description: deploy\n", "'task_key' is missing"),
    ("outcome: \"true\"", "outcome: \"yes\"", "'yes' is not an outcome"),
    ("{task_key: gate, outcome", "{task_key: sweep, outcome", "'sweep' is not a condition_task"),
    ("- task_key: data_prep\n          job_cluster_key: etl", "- task_key: data_prep\n          job_cluster_key: elt", "no 'elt' is defined. Did you mean 'etl'"),
    ("          job_cluster_key: etl\n", "          job_cluster_key: etl\n          existing_cluster_id: x\n", "a task has one kind of compute"),
    ("          run_if: ALL", "          run_job_task: {job_id: 1}\n          run_if: ALL", "a task is of one type"),
    ("          notebook_task: {notebook_path: ../notebooks/06.ipynb}", "          disabled: true", "task 'deploy' has no type"),
    ("          run_if: ALL", "          environment_key: defaults\n          run_if: ALL", "no 'defaults' is defined. Did you mean 'default'"),
    ("notebook_path: ../notebooks/06.ipynb", "source: WORKSPACE", "'notebook_path' is missing"),
    ("          condition_task:", "          max_retries: 1\n          condition_task:", "a condition_task has no max_retries"),
    ("notebook_task: {notebook_path: ../notebooks/03.ipynb, base_parameters: {d: \"{{input}}\"}}", "for_each_task: {inputs: '[1]', task: {task_key: x, notebook_task: {notebook_path: a}}}", "cannot be inside another"),
    # values
    ("min_workers: 1, max", "min_workers: 9, max", "min_workers is 9, more than max_workers, which is 4"),
    ("autoscale: {", "num_workers: 2\n            autoscale: {", "num_workers or autoscale, not both"),
    ("            spark_version: 17.3.x-cpu-ml-scala2.13\n", "", "'spark_version' is missing"),
    ("            autoscale: {min_workers: 1, max_workers: 4}", "            num_workers: -1", "-1 is out of bounds"),
    ("max_retries: 2", "max_retries: -2", "-2 is out of bounds"),
    ("min_retry_interval_millis: 60000", "min_retry_interval_millis: -1", "-1 is out of bounds"),
    ("max_concurrent_runs: 1", "max_concurrent_runs: 1001", "1001 is out of bounds"),
    ("0 0 2 * * ?", "0 2 * * *", "this one has 5. Seconds come first"),
    ("0 0 2 * * ?", "0 0 2 * * *", "exactly one of day of month and day of week"),
    ("timezone_id: UTC", "timezone_id: Europe/Berln", "there is no time zone .*Did you mean 'Europe/Berlin'"),
    ("timezone_id: UTC, ", "", "'timezone_id' is missing"),
    ("task_key: deploy", "task_key: de.ploy", "'de.ploy' is not a key"),
    ("task_key: deploy", f"task_key: {'d' * 101}", "is not a key"),
    ("name: run_date", "name: run date", "'run date' is not the name of a parameter"),
    ("      name: pipe\n", f"      name: {'p' * 4097}\n", "more than 4,096 bytes"),
    ("tags: {team: ml}", f"tags: {{{', '.join(f't{n}: x' for n in range(26))}}}", "26 tags; at most 25"),
    ("custom_tags: {stage: etl}", f"custom_tags: {{{', '.join(f't{n}: x' for n in range(46))}}}", "46 tags of a cluster"),
    ('on_failure: [{id: "123"}]', 'on_failure: [{id: "1"}, {id: "2"}, {id: "3"}, {id: "4"}]', "4 destinations of an event; at most 3"),
    ("performance_target: STANDARD", "performance_target: COST_OPTIMIZED", "needs a duration_target"),
    ("value: 3600", "value: soon", "'soon' is not a whole number"),
    ("concurrency: 3", "concurrency: 0", "0 is out of bounds"),
]  # fmt: skip


def changed_line(text: str) -> int:
    """The first line that differs from the example's."""
    pairs = zip(TEXT.splitlines(), text.splitlines(), strict=False)
    return next(number for number, (old, new) in enumerate(pairs, 1) if old != new)


@pytest.mark.parametrize(("old", "new", "message"), FAULTS, ids=[f"{new.strip()[:40]}" for _, new, _ in FAULTS])
def test_a_fault_is_reported_with_file_and_line(old, new, message):
    import re

    assert TEXT.count(old) >= 1
    text = TEXT.replace(old, new, 1)
    matching = [finding for finding in findings(text) if re.search(message, finding)]
    assert matching, findings(text)
    lines = {int(finding.split(":")[1]) for finding in matching}
    changed = changed_line(text)
    if "is missing" in message or "has no type" in message:  # reported at the line of what is around it
        assert changed - 3 <= min(lines) <= changed, matching
    else:
        assert changed in lines, matching
    assert all(finding.startswith("f0.yml:") for finding in matching)


def test_there_are_more_than_thirty_faults():
    assert len(FAULTS) >= 30


@pytest.mark.parametrize(
    ("cluster", "clean"),
    [
        ("num_workers: 0", False),
        ("num_workers: 0, is_single_node: true", True),
        ("num_workers: 0, policy_id: x", True),
        ("num_workers: 0, spark_conf: {spark.master: 'local[*]'}", False),
        ("num_workers: 0, spark_conf: {spark.databricks.cluster.profile: singleNode, spark.master: 'local[*, 4]'}, custom_tags: {ResourceClass: SingleNode}", True),
        ("num_workers: 1", True),
        ("num_workers: '${var.workers}'", True),
    ],
)  # fmt: skip
def test_a_single_node_needs_its_configuration(cluster, clean):
    task = "{task_key: a, job_cluster_key: c, notebook_task: {notebook_path: a}}"
    text = f"tasks: [{task}]\njob_clusters: [{{job_cluster_key: c, new_cluster: {{spark_version: x, {cluster}}}}}]\n"
    reported = findings(text)
    assert (reported == []) is clean, reported
    assert clean or "f0.yml:2: job_clusters[0].new_cluster.num_workers: num_workers is 0" in reported[0]


def test_more_than_a_thousand_tasks_are_too_many():
    tasks = "".join(f"  - {{task_key: t{n}, notebook_task: {{notebook_path: a}}}}\n" for n in range(1001))
    assert findings(f"name: big\ntasks:\n{tasks}") == ["f0.yml:2: tasks: 1,001 tasks; at most 1,000 are allowed."]


def test_a_job_of_the_api_is_checked_as_json():
    text = '{\n "job_id": 1,\n "settings": {\n  "name": "x",\n  "format": "MULTI_TASK",\n  "tasks": [\n   {"task_key": "a", "notebook_task": {"notebook_path": "/x"}, "max_retries": -5}\n  ]\n }\n}'
    assert findings(text) == ["f0.yml:7: settings.tasks[0].max_retries: -5 is out of bounds.\n    allowed: -1 or more"]


def test_files_of_one_bundle_are_checked_together():
    tasks = "resources: {jobs: {a: {tasks: [{task_key: t, job_cluster_key: c, notebook_task: {notebook_path: n}}]}}}"
    clusters = "resources: {jobs: {a: {job_clusters: [{job_cluster_key: c, new_cluster: {spark_version: x, num_workers: 1}}]}}}"
    assert "no 'c' is defined" in findings(tasks)[0]
    assert findings(tasks, clusters) == []


def test_a_target_is_checked_with_the_job_that_it_changes():
    text = """\
resources:
  jobs:
    a:
      tasks: [{task_key: t, job_cluster_key: c, notebook_task: {notebook_path: n}}]
      job_clusters: [{job_cluster_key: c, new_cluster: {spark_version: x, autoscale: {min_workers: 3, max_workers: 4}}}]
targets:
  dev: {resources: {jobs: {a: {tasks: [{task_key: t, max_retries: 1}]}}}}
  prod:
    resources:
      jobs:
        a:
          job_clusters:
            - job_cluster_key: c
              new_cluster: {autoscale: {max_workers: 2}}
"""
    assert findings(text) == [
        "f0.yml:5: resources.jobs.a.job_clusters[0].new_cluster.autoscale.min_workers: min_workers is 3, more than"
        " max_workers, which is 2."
    ]


def test_a_finding_in_an_alias_has_the_line_of_the_value():
    text = (
        "tasks:\n  - &a {task_key: a, max_retries: -3, notebook_task: {notebook_path: n}}\n  - {<<: *a, task_key: b}\n"
    )
    assert [finding.split(": ")[0] for finding in findings(text)] == ["f0.yml:2", "f0.yml:2"]


@pytest.mark.parametrize("text", ["tasks: 3", "tasks: [3]", "tasks: [{task_key: [1]}]", "resources: {jobs: [a]}", "resources: 1", "targets: []", "targets: {a: 1}", "job_clusters: {a: 1}", "settings: {tasks: {a: {}}}", "tasks: [{task_key: a, depends_on: [1, {task_key: 2}], notebook_task: 3}]", "schedule: x", "tags: [1]"])  # fmt: skip
def test_a_value_of_a_wrong_kind_is_a_finding_and_no_crash(text):
    assert findings(text)


def test_the_tables_have_the_keys_and_values_of_databricks_models():
    import dataclasses
    import enum
    import typing

    from databricks.bundles import jobs, model_serving_endpoints

    exported = {**vars(model_serving_endpoints), **vars(jobs)}
    models = {name: model for name, model in exported.items() if isinstance(model, type)}
    checked = 0
    for name, keys in KEYS.items():
        if dataclasses.is_dataclass(model := models.get(name)):
            assert set(keys) == {field.name for field in dataclasses.fields(model)}, name
            hints = typing.get_type_hints(model)
            for key, kind in keys.items():
                if kind in ("str", "int", "bool"):
                    assert kind in str(hints[key]).replace("<class '", ""), (name, key)
            checked += 1
    assert checked > 30
    for name, values in ENUMS.items():
        if isinstance(model := models.get(name), type) and issubclass(model, enum.Enum):
            additional = {"COST_OPTIMIZED"} if name == "PerformanceTarget" else set()
            assert set(values) - additional == {member.value for member in model}, name
    assert set(TASK_TYPES) == {key for key in KEYS["Task"] if key.endswith("_task")}


@pytest.fixture
def validate(tmp_path, monkeypatch, capsys):
    """`validate("databricks.yml")` in a folder of its own: exit status, stdout and stderr."""
    from stagebook.cli import call

    monkeypatch.chdir(tmp_path)

    def run(name):
        status = call(["databricks", "validate", name])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_the_command_reports_a_clean_bundle(validate, tmp_path):
    (tmp_path / "b.yml").write_text(TEXT)
    status, out, err = validate("b.yml")
    assert status == 0
    assert out == "b.yml: 1 job, 0 findings\n"
    assert "note: b.yml:59: " in err


def test_the_command_checks_included_files_too(validate, tmp_path):
    (tmp_path / "databricks.yml").write_text("bundle: {name: b}\ninclude: [resources/*.yml]\n")
    (tmp_path / "resources").mkdir()
    (tmp_path / "resources/a.yml").write_text("resources:\n  jobs:\n    a:\n      tasks: [{task_key: t}]\n")
    status, out, err = validate("databricks.yml")
    assert status == 1
    assert out == ""
    assert err.startswith("resources/a.yml:4: resources.jobs.a.tasks[0]: task 't' has no type.")
    assert err.endswith("databricks.yml: 1 job, 1 finding\n")


def test_a_file_that_is_not_yaml_is_refused_with_its_line(validate, tmp_path):
    from stagebook.errors import ConfigError

    (tmp_path / "b.yml").write_text("a: 1\nb: [\n")
    with pytest.raises(ConfigError, match=r"b.yml:\d: this is not YAML"):
        validate("b.yml")
    with pytest.raises(ConfigError, match="there is no file 'c.yml'"):
        validate("c.yml")


def test_the_export_of_the_shipped_pipeline_has_no_findings(validate):
    from stagebook.cli import call

    root = Path(__file__).resolve().parents[3]
    assert call(["databricks", "export", "--params", str(root / "params/prod.yaml"), "--out", "out"]) == 0
    assert validate("out/databricks.yml")[0] == 0
