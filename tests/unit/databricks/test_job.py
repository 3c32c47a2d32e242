"""A pipeline as a Databricks job: what each setting becomes, and that Databricks' own models accept it."""

from pathlib import Path

import pytest
from databricks.bundles.jobs import Job

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.databricks.export.job import override
from stagebook.databricks.export.unsupported_fields import unsupported_fields
from stagebook.databricks.merge_patch import apply, lists_to_mappings

from .conftest import clusters, job_of, tasks

ROOT = Path(__file__).resolve().parents[3]


def test_a_stage_is_a_notebook_task(pipeline):
    assert tasks(job_of(pipeline()))["train"] == {
        "task_key": "train",
        "depends_on": [{"task_key": "prep"}],
        "job_cluster_key": "alone",
        "max_retries": 2,
        "min_retry_interval_millis": 500,
        "timeout_seconds": 60,
        "notebook_task": {
            "notebook_path": "../notebooks/train.ipynb",
            "base_parameters": {"rate": "0.5", "names": "{{tasks.prep.values.names}}"},
        },
    }


def test_only_if_is_a_condition_in_front_of_the_stage(pipeline):
    by_key = tasks(job_of(pipeline()))
    assert list(by_key) == ["prep", "train", "deploy_if", "deploy"]
    assert by_key["deploy_if"] == {
        "task_key": "deploy_if",
        "depends_on": [{"task_key": "train"}],
        "run_if": "NONE_FAILED",
        "condition_task": {"left": "{{tasks.train.values.good}}", "op": "EQUAL_TO", "right": "true"},
    }
    assert by_key["deploy"]["depends_on"] == [{"task_key": "deploy_if", "outcome": "true"}]
    assert not {"run_if", "max_retries", "timeout_seconds"} & set(by_key["deploy"])


def test_shared_parameters_are_job_parameters_as_text(pipeline):
    assert job_of(pipeline())["parameters"] == [{"name": "seed", "default": "3"}]


def test_a_parameter_that_one_stage_sets_for_itself_is_passed_by_each_task(pipeline):
    demo = pipeline("stages: {train: {parameters: {seed: 4}}}")
    assert "parameters" not in job_of(demo)
    seeds = {
        key: task["notebook_task"]["base_parameters"]["seed"]
        for key, task in tasks(job_of(demo)).items()
        if "notebook_task" in task
    }
    assert seeds == {"prep": "3", "train": "4", "deploy": "3"}
    assert any(line.startswith("parameters seed") for line in unsupported_fields(demo))


def test_a_profile_is_a_cluster_that_its_stages_share(pipeline):
    by_key = clusters(job_of(pipeline()))
    assert by_key["wide"] == {
        "spark_version": "17.3.x-cpu-ml-scala2.13",
        "node_type_id": "c5.xlarge",
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "runtime_engine": "STANDARD",
        "data_security_mode": "DATA_SECURITY_MODE_DEDICATED",
        "custom_tags": {"profile": "wide"},
        "aws_attributes": {"availability": "ON_DEMAND"},
    }
    assert by_key["alone"]["num_workers"] == 0
    assert by_key["alone"]["spark_conf"] == {
        "spark.databricks.cluster.profile": "singleNode",
        "spark.master": "local[*]",
    }
    assert by_key["alone"]["custom_tags"] == {"profile": "alone", "ResourceClass": "SingleNode"}


@pytest.mark.parametrize(
    ("cloud", "attributes"),
    [
        ("aws", {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1, "spot_bid_price_percent": 100}),
        ("azure", {"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1, "spot_bid_max_price": -1}),
        ("gcp", {"availability": "PREEMPTIBLE_WITH_FALLBACK_GCP", "first_on_demand": 1}),
    ],
)
def test_spot_workers_have_a_driver_on_demand(pipeline, cloud, attributes):
    demo = pipeline(
        f"databricks: {{cloud: {cloud}, profiles: {{wide: {{spot: true, photon: true}}, alone: {{spot: true}}}}}}"
    )
    assert clusters(job_of(demo))["wide"][f"{cloud}_attributes"] == attributes
    assert clusters(job_of(demo))["wide"]["runtime_engine"] == "PHOTON"
    assert "ON_DEMAND" in clusters(job_of(demo))["alone"][f"{cloud}_attributes"]["availability"]
    assert any("profiles alone: spot is for workers" in line for line in unsupported_fields(demo))


def test_a_cluster_has_the_attributes_that_its_profile_is_priced_by(pipeline):
    """The estimate and the job read the same keys; `databricks.profiles` overrides them."""
    wide = "wide: {aws_attributes: {availability: SPOT_WITH_FALLBACK}, runtime_engine: PHOTON}"
    cluster = clusters(job_of(pipeline(f"profiles: {{{wide}}}")))["wide"]
    assert cluster["aws_attributes"] == {
        "availability": "SPOT_WITH_FALLBACK",
        "first_on_demand": 1,
        "spot_bid_price_percent": 100,
    }
    assert cluster["runtime_engine"] == "PHOTON"
    overrides = "databricks: {profiles: {wide: {spot: false, photon: false}}}"
    cluster = clusters(job_of(pipeline(f"profiles: {{{wide}}}\n{overrides}")))["wide"]
    assert (cluster["aws_attributes"], cluster["runtime_engine"]) == ({"availability": "ON_DEMAND"}, "STANDARD")


def test_a_profile_that_is_priced_as_serverless_has_no_cluster(pipeline):
    job = job_of(
        pipeline(
            "profiles: {short: {compute: serverless, dbu_per_hour: 4}}\nstages: {train: {profile: short}}\n"
            "databricks: {packages: [lib/x]}"
        )
    )
    assert list(clusters(job)) == ["wide", "alone"]
    assert "environment_key" in tasks(job)["train"]
    assert "job_cluster_key" not in tasks(job)["train"]


def test_each_task_can_have_a_cluster_of_its_own(pipeline):
    job = job_of(pipeline("databricks: {job_clusters: per_task}"))
    assert "job_clusters" not in job
    assert tasks(job)["prep"]["new_cluster"]["node_type_id"] == "c5.xlarge"


def test_a_serverless_profile_has_an_environment_and_no_cluster(pipeline):
    settings = "databricks: {packages: [lib/x], requirements: [tenacity], profiles: {alone: {serverless: true}}}"
    job = job_of(pipeline(settings))
    assert list(clusters(job)) == ["wide"]
    assert job["performance_target"] == "STANDARD"
    spec = {"environment_version": "4", "dependencies": ["../dist/*.whl", "tenacity"]}
    assert job["environments"] == [{"environment_key": "stagebook", "spec": spec}]
    assert tasks(job)["train"]["environment_key"] == "stagebook"
    assert "libraries" not in tasks(job)["train"]
    assert tasks(job)["prep"]["libraries"] == [{"whl": "../dist/*.whl"}, {"requirements": "../requirements.txt"}]


def test_settings_of_the_job(pipeline):
    job = job_of(
        pipeline(
            """\
schedule: {quartz_cron_expression: "0 0 2 * * ?", timezone_id: Europe/Berlin}
queue: {}
max_concurrent_runs: 1
databricks:
  tags: {team: ml}
  run_duration_seconds: 3600
  email_notifications: {on_failure: [a@b.c], on_duration_warning_threshold_exceeded: [a@b.c]}
  webhook_notifications: {on_success: ["1"]}
  catalog: main
  schema: flights
  volume: files
"""
        )
    )
    assert job["schedule"] == {
        "quartz_cron_expression": "0 0 2 * * ?",
        "timezone_id": "Europe/Berlin",
        "pause_status": "UNPAUSED",
    }
    assert (job["queue"], job["max_concurrent_runs"], job["tags"]) == (
        {"enabled": True},
        1,
        {"pipeline": "demo", "team": "ml"},
    )
    assert job["health"] == {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}]}
    assert job["email_notifications"] == {
        "on_failure": ["a@b.c"],
        "on_duration_warning_threshold_exceeded": ["a@b.c"],
    }
    assert job["webhook_notifications"] == {"on_success": [{"id": "1"}]}
    kit_parameters = {
        parameter["name"]: parameter["default"]
        for parameter in job["parameters"]
        if parameter["name"].startswith("stagebook_")
    }
    assert kit_parameters == {
        "stagebook_catalog": "main",
        "stagebook_schema": "flights",
        "stagebook_volume": "files",
        "stagebook_run_id": "{{job.run_id}}",
        "stagebook_experiment": "/Shared/stagebook",
        "stagebook_model": "main.flights.model",
    }
    assert tasks(job)["prep"]["notebook_task"]["base_parameters"] == {
        "stagebook_stage": "prep",
        "stagebook_attempt": "{{task.execution_count}}",
    }


def test_a_target_overrides_only_the_values_that_differ(pipeline):
    demo = pipeline(
        "databricks: {catalog: dev, targets: {dev: {}, prod: {catalog: prod, profiles: {wide: {node_type_id: c5.4xlarge}}}}}"
    )
    dev, prod = job_of(demo, "dev"), job_of(demo, "prod")
    difference = override(dev, prod)
    assert difference == {
        "parameters": [{"name": "stagebook_catalog", "default": "prod"}],
        "job_clusters": [{"job_cluster_key": "wide", "new_cluster": {"node_type_id": "c5.4xlarge"}}],
    }
    assert apply(lists_to_mappings(dev), lists_to_mappings(difference)) == lists_to_mappings(prod)


def test_the_patch_of_the_parameter_file_is_applied_to_the_job(pipeline):
    job = job_of(
        pipeline(
            """\
databricks:
  job:
    budget_policy_id: "1"
    tags: {pipeline: null}
    tasks:
      grid: {depends_on: [{task_key: prep}], notebook_task: {notebook_path: ../notebooks/grid.ipynb}}
      train: {depends_on: [{task_key: grid}], max_retries: -1}
"""
        )
    )
    assert (job["budget_policy_id"], job["tags"]) == ("1", {})
    assert list(tasks(job)) == ["prep", "grid", "train", "deploy_if", "deploy"]
    assert tasks(job)["train"]["max_retries"] == -1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("databricks: {profiles: {wid: {}}}", "databricks.profiles.wid: there is no profile 'wid'. Did you mean 'wide'"),
        ("databricks: {targets: {dev: {}, prod: {profiles: {wide: {num_workers: 0}}}}}", "this is a single node, and autoscaled in target 'dev'"),
        ("databricks: {targets: {dev: {profiles: {alone: {autoscale: {min_workers: 4, max_workers: 2}}}}}}", "`min_workers` is more than `max_workers`"),
        ("databricks: {spark_versoin: x}", "Did you mean 'spark_version'"),
        ("databricks: {targets: {dev: {schemas: x}}}", "Did you mean 'schema'"),
        ("databricks: {targets: {dev: {run_as: {user_name: a, group_name: b}}}}", "exactly one of user_name, group_name"),
        ('schedule: {quartz_cron_expression: "0 2 * * *"}', "6 or 7 fields, this one has 5. Seconds come first"),
        ('schedule: {quartz_cron_expression: "0 0 2 * * ?", timezone_id: Mars}', "this is not a time zone"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_its_line(pipeline, settings, message):
    with pytest.raises(InvalidParameters, match=f"dev.yaml:2: .*{message}"):
        pipeline(settings)


CASES = [
    "",
    "databricks: {job_clusters: per_task, cloud: azure}",
    "databricks: {catalog: main, packages: [lib/x], profiles: {alone: {serverless: true}, wide: {spot: true}}}",
    "databricks: {tags: {a: b}, email_notifications: {on_start: [a@b.c]}, run_duration_seconds: 60}\nqueue: {}",
]


@pytest.mark.parametrize("settings", CASES)
@pytest.mark.parametrize("target", ["dev", "prod"])
def test_databricks_own_models_accept_the_job_unchanged(pipeline, settings, target):
    job = job_of(pipeline(settings), target)
    assert Job.from_dict(job).as_dict() == job


@pytest.mark.parametrize("name", ["dev", "prod", "scale"])
def test_databricks_own_models_accept_the_shipped_pipeline(name):
    shipped = load((name,), Flags(), {}, ROOT)
    assert Job.from_dict(job_of(shipped)).as_dict() == job_of(shipped)


def test_unsupported_fields_are_listed(pipeline):
    lines = "\n".join(unsupported_fields(pipeline("stages: {prep: {timeout_seconds: 1.5}}\nspark: {conf: {a: b}}")))
    for line in (
        "stages prep, train: the wait before a retry doubles",
        "stage prep: timeout_seconds is rounded up",
        "stage deploy: the condition_task",
        "autotermination_minutes does not apply",
        "spark.conf: it is for the server",
        "notifications.on: gate_refused, interrupted",
        "target prod: a deployment in mode production asks for root_path or run_as",
    ):
        assert line in lines
