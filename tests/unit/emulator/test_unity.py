"""Our registry on Unity Catalog, as far as a stand-in tells: it takes what MLflow's client of the real one takes."""

import json
from pathlib import Path

import pytest
from emulator.schedule import Order
from emulator.workspace import Workspace

SETUP = """\
import json
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.track.registry import Registry
from stagebook.track.sync import ensure_stage_run
from pathlib import Path

tracking = Tracking("databricks", "/Shared/demo", "main.demo.model")
registry = Registry(tracking)
client = MlflowClient("databricks", "databricks-uc")
X = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
told = {}

def register(run_id, name="main.demo.model", c=1.0):
    context = StageContext(run_id, "register", 1, Path(run_id), Path("."), Path("."), "pandas", tracking)
    made = registry.register(
        LogisticRegression(C=c).fit(X, X["x"] > 1), name=name, run_id=run_id, example=X.head(2), tags={"a.b": "1"},
        metrics={"auc": 0.7}, trusted=(), mlflow_run_id=ensure_stage_run(context),
    )
    return made.version, made.created

def refusal(call, *args, **words):
    try:
        call(*args, **words)
    except Exception as fault:
        return str(fault)
"""
USE = """\
told["made"] = [register("one"), register("one", c=9.0), register("two")]
told["before"] = registry.version_of("main.demo.model", "champion")
registry.promote("main.demo.model", "1")
registry.promote("main.demo.model", "2")
told["versions"] = [(v.version, list(v.aliases), v.run_id, v.tags["a.b"]) for v in registry.versions("main.demo.model")]
told["rolled"] = registry.rollback("main.demo.model")
told["loaded"] = registry.load("main.demo.model").predict(X).tolist()
told["unknown"] = refusal(registry.load, "main.demo.models")
"""
REFUSED = """\
told["two levels"] = refusal(register, "three", name="demo.model")
told["tags"] = refusal(client.search_model_versions, "name = 'main.demo.model' and tags.a = '1'")
told["order"] = refusal(client.search_model_versions, "name = 'main.demo.model'", order_by=["name"])
told["models"] = refusal(client.search_registered_models, "name = 'main.demo.model'")
told["found"] = refusal(lambda: dict(client.search_model_versions("name = 'main.demo.model'")[0].tags))
told["stage"] = refusal(client.transition_model_version_stage, "main.demo.model", "1", "Production")
dbutils.jobs.taskValues.set("told", json.loads(json.dumps(told)))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a notebook on Databricks is told by the registry."""
    folder: Path = tmp_path_factory.mktemp("unity")
    notebook = folder / "a.py"
    cells = "\n\n# COMMAND ----------\n\n".join([SETUP, USE, REFUSED])
    notebook.write_text(f"# Databricks notebook source\n{cells}")
    ended = Workspace(folder / "workspace").run(Order("a-1", notebook, {}, {}))
    assert ended.error is None
    return json.loads(json.dumps(ended.values["told"]))


def test_a_run_registers_once_and_versions_tell_their_tags_and_aliases(told):
    assert told["made"] == [["1", True], ["1", False], ["2", True]]
    assert told["before"] is None
    assert told["versions"] == [
        ["1", ["previous"], "one", "1"],
        ["2", ["candidate", "champion"], "two", "1"],
    ]


def test_the_champion_is_loaded_and_rolled_back(told):
    assert told["rolled"] == ["2", "1"]
    assert told["loaded"] == [False, False, True, True]
    assert (
        "there is no registered model 'main.demo.models' at databricks. Did you mean 'main.demo.model'"
        in told["unknown"]
    )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("two levels", "catalog.schema.model"),
        ("tags", "Unsupported filter query"),
        ("order", "Argument 'order_by' is unsupported"),
        ("models", "Argument 'filter_string' is unsupported"),
        ("found", "not iterable"),
        ("stage", "Method 'transition_model_version_stage' is unsupported"),
    ],
)
def test_what_unity_catalog_does_not_take_is_refused(told, what, said):
    assert said in told[what]
