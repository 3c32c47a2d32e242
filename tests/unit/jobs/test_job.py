"""A pipeline as a Databricks job: what each setting becomes, and that Databricks' own models take it."""

from pathlib import Path

import pytest
from databricks.bundles.jobs import Job

from stagebook.jobs.carried import not_carried
from stagebook.jobs.job import override
from stagebook.jobs.patch import apply, keyed
from stagebook.params.findings import InvalidParameters
from stagebook.params.load import Flags, load

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
    found = tasks(job_of(pipeline()))
    assert list(found) == ["prep", "train", "deploy_if", "deploy"]
    assert found["deploy_if"] == {
        "task_key": "deploy_if",
        "depends_on": [{"task_key": "train"}],
        "run_if": "NONE_FAILED",
        "condition_task": {"left": "{{tasks.train.values.good}}", "op": "EQUAL_TO", "right": "true"},
    }
    assert found["deploy"]["depends_on"] == [{"task_key": "deploy_if", "outcome": "true"}]
    assert not {"run_if", "max_retries", "timeout_seconds"} & set(found["deploy"])


def test_shared_parameters_are_job_parameters_as_text(pipeline):
    assert job_of(pipeline())["parameters"] == [{"name": "seed", "default": "3"}]


def test_a_parameter_that_one_stage_sets_for_itself_is_passed_by_each_task(pipeline):
    found = pipeline("stages: {train: {parameters: {seed: 4}}}")
    assert "parameters" not in job_of(found)
    given = {
        key: task["notebook_task"]["base_parameters"]["seed"]
        for key, task in tasks(job_of(found)).items()
        if "notebook_task" in task
    }
    assert given == {"prep": "3", "train": "4", "deploy": "3"}
    assert any(line.startswith("parameters seed") for line in not_carried(found))


def test_a_profile_is_a_cluster_that_its_stages_share(pipeline):
    found = clusters(job_of(pipeline()))
    assert found["wide"] == {
        "spark_version": "17.3.x-cpu-ml-scala2.13",
        "node_type_id": "c5.xlarge",
        "autoscale": {"min_workers": 1, "max_workers": 4},
        "runtime_engine": "STANDARD",
        "data_security_mode": "DATA_SECURITY_MODE_DEDICATED",
        "custom_tags": {"profile": "wide"},
        "aws_attributes": {"availability": "ON_DEMAND"},
    }
    assert found["alone"]["num_workers"] == 0
    assert found["alone"]["spark_conf"] == {
        "spark.databricks.cluster.profile": "singleNode",
        "spark.master": "local[*]",
    }
    assert found["alone"]["custom_tags"] == {"profile": "alone", "ResourceClass": "SingleNode"}


@pytest.mark.parametrize(
    ("cloud", "attributes"),
    [
        ("aws", {"availability": "SPOT_WITH_FALLBACK", "first_on_demand": 1, "spot_bid_price_percent": 100}),
        ("azure", {"availability": "SPOT_WITH_FALLBACK_AZURE", "first_on_demand": 1, "spot_bid_max_price": -1}),
        ("gcp", {"availability": "PREEMPTIBLE_WITH_FALLBACK_GCP", "first_on_demand": 1}),
    ],
)
def test_spot_workers_have_a_driver_on_demand(pipeline, cloud, attributes):
    found = pipeline(
        f"databricks: {{cloud: {cloud}, profiles: {{wide: {{spot: true, photon: true}}, alone: {{spot: true}}}}}}"
    )
    assert clusters(job_of(found))["wide"][f"{cloud}_attributes"] == attributes
    assert clusters(job_of(found))["wide"]["runtime_engine"] == "PHOTON"
    assert "ON_DEMAND" in clusters(job_of(found))["alone"][f"{cloud}_attributes"]["availability"]
    assert any("profiles alone: spot is for workers" in line for line in not_carried(found))


def test_what_a_profile_is_priced_by_is_what_its_cluster_is(pipeline):
    """The estimate and the job read the same keys; `databricks.profiles` is laid over them."""
    wide = "wide: {aws_attributes: {availability: SPOT_WITH_FALLBACK}, runtime_engine: PHOTON}"
    found = clusters(job_of(pipeline(f"profiles: {{{wide}}}")))["wide"]
    assert found["aws_attributes"] == {
        "availability": "SPOT_WITH_FALLBACK",
        "first_on_demand": 1,
        "spot_bid_price_percent": 100,
    }
    assert found["runtime_engine"] == "PHOTON"
    off = "databricks: {profiles: {wide: {spot: false, photon: false}}}"
    found = clusters(job_of(pipeline(f"profiles: {{{wide}}}\n{off}")))["wide"]
    assert (found["aws_attributes"], found["runtime_engine"]) == ({"availability": "ON_DEMAND"}, "STANDARD")


def test_a_profile_that_is_priced_as_serverless_has_no_cluster(pipeline):
    found = job_of(
        pipeline(
            "profiles: {short: {compute: serverless, dbu_per_hour: 4}}\nstages: {train: {profile: short}}\n"
            "databricks: {packages: [lib/x]}"
        )
    )
    assert list(clusters(found)) == ["wide", "alone"]
    assert "environment_key" in tasks(found)["train"]
    assert "job_cluster_key" not in tasks(found)["train"]


def test_each_task_can_have_a_cluster_of_its_own(pipeline):
    found = job_of(pipeline("databricks: {job_clusters: per_task}"))
    assert "job_clusters" not in found
    assert tasks(found)["prep"]["new_cluster"]["node_type_id"] == "c5.xlarge"


def test_a_serverless_profile_has_no_cluster_but_an_environment(pipeline):
    more = "databricks: {packages: [lib/x], requirements: [tenacity], profiles: {alone: {serverless: true}}}"
    found = job_of(pipeline(more))
    assert list(clusters(found)) == ["wide"]
    assert found["performance_target"] == "STANDARD"
    spec = {"environment_version": "4", "dependencies": ["../dist/*.whl", "tenacity"]}
    assert found["environments"] == [{"environment_key": "stagebook", "spec": spec}]
    assert tasks(found)["train"]["environment_key"] == "stagebook"
    assert "libraries" not in tasks(found)["train"]
    assert tasks(found)["prep"]["libraries"] == [{"whl": "../dist/*.whl"}, {"requirements": "../requirements.txt"}]


def test_settings_of_the_job(pipeline):
    found = job_of(
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
    assert found["schedule"] == {
        "quartz_cron_expression": "0 0 2 * * ?",
        "timezone_id": "Europe/Berlin",
        "pause_status": "UNPAUSED",
    }
    assert (found["queue"], found["max_concurrent_runs"], found["tags"]) == (
        {"enabled": True},
        1,
        {"pipeline": "demo", "team": "ml"},
    )
    assert found["health"] == {"rules": [{"metric": "RUN_DURATION_SECONDS", "op": "GREATER_THAN", "value": 3600}]}
    assert found["email_notifications"] == {
        "on_failure": ["a@b.c"],
        "on_duration_warning_threshold_exceeded": ["a@b.c"],
    }
    assert found["webhook_notifications"] == {"on_success": [{"id": "1"}]}
    handed_on = {one["name"]: one["default"] for one in found["parameters"] if one["name"].startswith("stagebook_")}
    assert handed_on == {
        "stagebook_catalog": "main",
        "stagebook_schema": "flights",
        "stagebook_volume": "files",
        "stagebook_run_id": "{{job.run_id}}",
        "stagebook_experiment": "/Shared/stagebook",
        "stagebook_model": "main.flights.model",
    }
    assert tasks(found)["prep"]["notebook_task"]["base_parameters"] == {
        "stagebook_stage": "prep",
        "stagebook_attempt": "{{task.execution_count}}",
    }


def test_a_target_changes_values_and_the_difference_is_all_that_it_says(pipeline):
    found = pipeline(
        "databricks: {catalog: dev, targets: {dev: {}, prod: {catalog: prod, profiles: {wide: {node_type_id: c5.4xlarge}}}}}"
    )
    dev, prod = job_of(found, "dev"), job_of(found, "prod")
    difference = override(dev, prod)
    assert difference == {
        "parameters": [{"name": "stagebook_catalog", "default": "prod"}],
        "job_clusters": [{"job_cluster_key": "wide", "new_cluster": {"node_type_id": "c5.4xlarge"}}],
    }
    assert apply(keyed(dev), keyed(difference)) == keyed(prod)


def test_a_patch_is_laid_over_the_job(pipeline):
    found = job_of(
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
    assert (found["budget_policy_id"], found["tags"]) == ("1", {})
    assert list(tasks(found)) == ["prep", "grid", "train", "deploy_if", "deploy"]
    assert tasks(found)["train"]["max_retries"] == -1


@pytest.mark.parametrize(
    ("more", "what"),
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
def test_a_mistake_is_found_with_the_rest(pipeline, more, what):
    with pytest.raises(InvalidParameters, match=f"dev.yaml:2: .*{what}"):
        pipeline(more)


CASES = [
    "",
    "databricks: {job_clusters: per_task, cloud: azure}",
    "databricks: {catalog: main, packages: [lib/x], profiles: {alone: {serverless: true}, wide: {spot: true}}}",
    "databricks: {tags: {a: b}, email_notifications: {on_start: [a@b.c]}, run_duration_seconds: 60}\nqueue: {}",
]


@pytest.mark.parametrize("more", CASES)
@pytest.mark.parametrize("target", ["dev", "prod"])
def test_databricks_own_models_take_the_job_as_it_is(pipeline, more, target):
    found = job_of(pipeline(more), target)
    assert Job.from_dict(found).as_dict() == found


@pytest.mark.parametrize("name", ["dev", "prod", "scale"])
def test_databricks_own_models_take_the_shipped_pipeline(name):
    found = load((name,), Flags(), {}, ROOT)
    assert Job.from_dict(job_of(found)).as_dict() == job_of(found)


def test_what_has_no_field_there_is_told(pipeline):
    told = "\n".join(not_carried(pipeline("stages: {prep: {timeout_seconds: 1.5}}\nspark: {conf: {a: b}}")))
    for part in (
        "stages prep, train: the wait before a retry doubles",
        "stage prep: timeout_seconds is rounded up",
        "stage deploy: the condition_task",
        "autotermination_minutes does not apply",
        "spark.conf: it is for the server",
        "notifications.on: gate_refused, interrupted",
        "target prod: a deployment in mode production asks for root_path or run_as",
    ):
        assert part in told
