"""Our registry on an emulated Unity Catalog, which accepts what MLflow's client of the real one accepts."""

import json
from pathlib import Path

import pytest
from emulator.schedule import Attempt
from emulator.workspace import Workspace

pytestmark = pytest.mark.emulator

SETUP = """\
import json
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.tracking.registry import Registry
from stagebook.tracking.sync import ensure_stage_run
from pathlib import Path

tracking = Tracking("databricks", "/Shared/demo", "main.demo.model")
registry = Registry(tracking)
client = MlflowClient("databricks", "databricks-uc")
X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
answers = {}

def register(run_id, name="main.demo.model", c=1.0):
    context = StageContext(run_id, "register", 1, Path(run_id), Path("."), Path("."), "pandas", tracking)
    version = registry.register(
        LogisticRegression(C=c).fit(X, X["x"] > 1), name=name, run_id=run_id, example=X.head(2), tags={"a.b": "1"},
        metrics={"auc": 0.7}, trusted=(), mlflow_run_id=ensure_stage_run(context),
    )
    return version.version, version.created

def refusal(call, *args, **keywords):
    try:
        call(*args, **keywords)
    except Exception as fault:
        return str(fault)
"""
USE = """\
answers["registered"] = [register("one"), register("one", c=9.0), register("two")]
answers["before"] = registry.version_of("main.demo.model", "champion")
registry.promote("main.demo.model", "1")
registry.promote("main.demo.model", "2")
answers["versions"] = [(v.version, list(v.aliases), v.run_id, v.tags["a.b"]) for v in registry.versions("main.demo.model")]
answers["rolled"] = registry.rollback("main.demo.model")
answers["loaded"] = registry.load("main.demo.model").predict(X).tolist()
answers["unknown"] = refusal(registry.load, "main.demo.models")
"""
REFUSED = """\
answers["two levels"] = refusal(register, "three", name="demo.model")
answers["tags"] = refusal(client.search_model_versions, "name = 'main.demo.model' and tags.a = '1'")
answers["order"] = refusal(client.search_model_versions, "name = 'main.demo.model'", order_by=["name"])
answers["models"] = refusal(client.search_registered_models, "name = 'main.demo.model'")
answers["version tags"] = refusal(lambda: dict(client.search_model_versions("name = 'main.demo.model'")[0].tags))
answers["stage"] = refusal(client.transition_model_version_stage, "main.demo.model", "1", "Production")
dbutils.jobs.taskValues.set("answers", json.loads(json.dumps(answers)))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The registry's answers in a notebook on Databricks."""
    folder: Path = tmp_path_factory.mktemp("unity")
    notebook = folder / "a.py"
    cells = "\n\n# COMMAND ----------\n\n".join([SETUP, USE, REFUSED])
    notebook.write_text(f"# Databricks notebook source\n{cells}")
    result = Workspace(folder / "workspace").run(Attempt("a-1", notebook, {}, {}))
    assert result.error is None
    return json.loads(json.dumps(result.values["answers"]))


def test_a_run_registers_once_and_versions_have_tags_and_aliases(answers):
    assert answers["registered"] == [["1", True], ["1", False], ["2", True]]
    assert answers["before"] is None
    assert answers["versions"] == [
        ["1", ["previous"], "one", "1"],
        ["2", ["candidate", "champion"], "two", "1"],
    ]


def test_the_champion_is_loaded_and_rolled_back(answers):
    assert answers["rolled"] == ["2", "1"]
    assert answers["loaded"] == [False, False, True, True]
    assert (
        "there is no registered model 'main.demo.models' at databricks. Did you mean 'main.demo.model'"
        in answers["unknown"]
    )


@pytest.mark.parametrize(
    ("request_name", "message"),
    [
        ("two levels", "catalog.schema.model"),
        ("tags", "Unsupported filter query"),
        ("order", "Argument 'order_by' is unsupported"),
        ("models", "Argument 'filter_string' is unsupported"),
        ("version tags", "not iterable"),
        ("stage", "Method 'transition_model_version_stage' is unsupported"),
    ],
)
def test_requests_that_unity_catalog_does_not_support_are_refused(answers, request_name, message):
    assert message in answers[request_name]
