"""Versions and aliases of models, and loading a model without trusting its file."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stagebook.errors import RegistryError, TrackingUnavailable
from stagebook.model.context import StageContext
from stagebook.model.pipeline import Tracking
from stagebook.tracking import alias_lookup, models
from stagebook.tracking.connection import connected, default_tracking_uri
from stagebook.tracking.registry import Registry
from stagebook.tracking.sync import ensure_stage_run

pytestmark = pytest.mark.slow  # trains models, starts servers

X = pd.DataFrame({"hour": np.arange(40) % 24, "rate": np.linspace(0, 1, 40)})
Y = X["rate"] > 0.5
MODEL = LogisticRegression().fit(X, Y)
TREES = HistGradientBoostingClassifier(max_iter=2).fit(X, Y)
TRUSTED = [
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]
NAME = "flight_delay"


@pytest.fixture
def registry(tracking):
    return Registry(tracking)


@pytest.fixture
def register(registry, tracking, tmp_path):
    """`register("run-1")` registers a model for a run, with MLflow runs of its own."""

    def register_for(run_id, model=MODEL, *, trusted=(), metrics=None, tags=None, target=registry, name=NAME):
        context = StageContext(run_id, "register", 1, tmp_path / run_id, tmp_path, tmp_path, "pandas", target.tracking)
        return target.register(
            model,
            name=name,
            run_id=run_id,
            example=X.head(3),
            tags=tags or {},
            metrics=metrics or {},
            trusted=trusted,
            mlflow_run_id=ensure_stage_run(context),
        )

    return register_for


def test_a_version_names_its_run_and_its_data(register, registry, tracking):
    registered = register("run-1", metrics={"roc_auc": 0.68123456, "bad": float("nan")}, tags={"data.features": "4"})
    assert (registered.name, registered.version, registered.created) == (NAME, "1", True)
    [version] = registry.versions(NAME)
    assert (version.version, version.aliases, version.run_id) == ("1", ("candidate",), "run-1")
    assert {"data.features": "4", "metric.roc_auc": "0.681235"}.items() <= version.tags.items()
    with connected(tracking) as client:
        stored = client.get_model_version(NAME, "1")
        logged = client.get_logged_model(stored.source.removeprefix("models:/"))
        assert {metric.key: metric.value for metric in logged.metrics} == {"roc_auc": 0.68123456}
        assert client.get_run(stored.run_id).info.status == "RUNNING"  # `sync` closes it


def test_a_version_has_signature_example_and_pinned_packages_in_skops_format(register, tracking, tmp_path):
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    register("run-1")
    (tmp_path / "downloaded").mkdir()
    with default_tracking_uri(tracking.uri):
        folder = download_artifacts(f"models:/{NAME}@candidate", dst_path=str(tmp_path / "downloaded"))
    model = Model.load(folder)
    assert model.flavors["sklearn"]["serialization_format"] == "skops"
    assert model.flavors["python_function"]["predict_fn"] == "predict_proba"
    assert model.signature.inputs.input_names() == ["hour", "rate"]
    assert model.load_input_example(folder).equals(X.head(3))
    requirements = (tmp_path / "downloaded" / "requirements.txt").read_text()
    assert all(f"{package}==" in requirements for package in ("mlflow", "scikit-learn", "skops", "pandas", "numpy"))


def test_a_run_that_registers_twice_has_one_version(register, registry):
    first = register("run-1")
    repeated = register("run-1", LogisticRegression(C=9).fit(X, Y))
    assert (repeated.version, repeated.created) == (first.version, False)
    assert register("run-2").version == "2"
    assert [(v.version, v.aliases) for v in registry.versions(NAME)] == [("1", ()), ("2", ("candidate",))]


def test_two_registrations_of_one_run_at_the_same_time_make_one_version(register, registry):
    registrations = []
    threads = [threading.Thread(target=lambda: registrations.append(register("run-1"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(registration.created for registration in registrations) == [False, True]
    assert len(registry.versions(NAME)) == 1


def test_logging_a_model_is_fast_and_leaves_the_notebooks_mlflow_unchanged(register, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////nowhere/of-the-notebook.db")
    before = dict(os.environ)
    register("run-0")
    start = time.perf_counter()
    register("run-1")
    assert time.perf_counter() - start < 5  # 0.06 s on an idle machine; inferring the requirements takes 7.5
    assert dict(os.environ) == before
    assert mlflow.get_tracking_uri() == "sqlite:////nowhere/of-the-notebook.db"
    assert mlflow.active_run() is None


def test_promoting_moves_the_alias_and_names_the_old_champion_previous(register, registry):
    for run in ("run-1", "run-2", "run-3"):
        register(run)
    assert registry.version_of(NAME, "champion") is None
    registry.promote(NAME, "1")
    assert (registry.version_of(NAME, "champion"), registry.version_of(NAME, "previous")) == ("1", None)
    registry.promote(NAME, "2")
    registry.promote(NAME, "2")
    assert (registry.version_of(NAME, "champion"), registry.version_of(NAME, "previous")) == ("2", "1")
    assert registry.rollback(NAME) == ("2", "1")
    assert (registry.version_of(NAME, "champion"), registry.version_of(NAME, "previous")) == ("1", "2")
    assert registry.rollback(NAME, "3") == ("1", "3")
    assert [v.aliases for v in registry.versions(NAME)] == [("previous",), (), ("candidate", "champion")]


def test_a_rollback_to_a_version_works_without_a_champion(register, registry):
    register("run-1")
    assert registry.rollback(NAME, "1") == (None, "1")


def test_the_champion_is_loaded_in_a_fresh_process_and_scores_the_same(register, registry, tracking):
    register("run-1", TREES, trusted=TRUSTED)
    registry.promote(NAME, "1")
    code = (
        "import pandas as pd; from stagebook.tracking.registry import Registry; from stagebook.model.pipeline import Tracking;"
        f"model = Registry(Tracking({tracking.uri!r}, 'flights', 'm')).load({NAME!r}, 'champion', trusted={TRUSTED!r});"
        "print(model.predict_proba(pd.DataFrame({'hour': [3], 'rate': [0.7]}))[0, 1].hex())"
    )
    expected = TREES.predict_proba(pd.DataFrame({"hour": [3], "rate": [0.7]}))[0, 1].hex()
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == expected


def test_a_model_of_untrusted_types_is_neither_registered_nor_loaded(register, registry):
    """Fault 24: MLflow itself loads the types that the model's own file calls trusted."""
    with pytest.raises(RegistryError, match=r"`trusted` does not name: sklearn\.ensemble\._hist.*TreePredictor"):
        register("run-1", TREES)
    assert registry.versions(NAME) == []
    register("run-1", TREES, trusted=TRUSTED)
    with pytest.raises(RegistryError, match="holds types that are not trusted"):
        registry.load(NAME, "candidate", trusted=TRUSTED[:1])
    assert registry.load(NAME, "1", trusted=TRUSTED).predict(X.head(1)).tolist() == [False]


def test_a_pickle_is_loaded_only_if_allowed(registry, tracking, tmp_path):
    from mlflow.sklearn import save_model

    save_model(MODEL, str(tmp_path / "pickled"), serialization_format="cloudpickle", pip_requirements=["scikit-learn"])
    with connected(tracking) as client:
        client.create_registered_model(NAME)
        client.create_model_version(NAME, str(tmp_path / "pickled"))
    with pytest.raises(RegistryError, match="stored as cloudpickle, which runs code when it is loaded"):
        registry.load(NAME, "1")
    assert registry.load(NAME, "1", allow_pickle=True).predict(X.head(1)).tolist() == [False]


def test_a_model_that_brings_code_is_not_loaded(registry, tracking, tmp_path):
    from mlflow.sklearn import save_model

    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    save_model(
        MODEL,
        str(tmp_path / "coded"),
        serialization_format="skops",
        code_paths=[str(tmp_path / "evil.py")],
        pip_requirements=["x"],
    )
    with connected(tracking) as client:
        client.create_registered_model(NAME)
        client.create_model_version(NAME, str(tmp_path / "coded"))
    with pytest.raises(RegistryError, match="brings code or files of its own"):
        registry.load(NAME, "1")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda r: r.load("flight_delays", "champion"),
            r"no registered model 'flight_delays'.* Did you mean 'flight_delay'\?",
        ),
        (
            lambda r: r.load(NAME, "champ"),
            r"model 'flight_delay' has no alias 'champ'\.\n  versions: 1 · aliases: candidate = 1",
        ),
        (lambda r: r.load(NAME, "9"), "model 'flight_delay' has no version '9'"),
        (lambda r: r.promote(NAME, "9"), "has no version '9'"),
        (lambda r: r.promote("other", "1"), r"no registered model 'other'.*\n  it holds: flight_delay"),
        (lambda r: r.rollback(NAME), "has no champion before this one to go back to"),
        (lambda r: r.rollback(NAME, "9"), "has no version '9'"),
    ],
)
def test_the_error_about_something_missing_lists_what_exists(register, registry, call, message):
    register("run-1")
    with pytest.raises(RegistryError, match=message):
        call(registry)


def test_an_empty_registry_has_no_versions(registry):
    assert (registry.versions(NAME), registry.version_of(NAME, "champion")) == ([], None)
    with pytest.raises(RegistryError, match="it holds: no models yet"):
        registry.load(NAME)


def test_a_registry_that_does_not_answer_is_reported_at_once(free_port):
    registry = Registry(Tracking(f"http://127.0.0.1:{free_port}", "flights", NAME))
    with pytest.raises(TrackingUnavailable, match="does not answer"):
        registry.version_of(NAME, "champion")


def test_a_server_registers_versions_like_a_file(register, server, free_port):
    served = Registry(Tracking(f"http://127.0.0.1:{free_port}", "flights", NAME))
    server(free_port)
    assert register("run-1", target=served, name="main.ml.delay").version == "1"
    assert not register("run-1", target=served, name="main.ml.delay").created
    served.promote("main.ml.delay", "1")
    loaded = served.load("main.ml.delay", "champion")
    assert loaded.predict_proba(X).tolist() == MODEL.predict_proba(X).tolist()


def test_an_example_has_the_types_that_the_model_gets():
    frame = pd.DataFrame(
        {
            "name": pd.array(["a", None], dtype="string[pyarrow]"),
            "n": pd.array([1, 2], dtype="int32[pyarrow]"),
            "gap": pd.array([1, None], dtype="int16[pyarrow]"),
            "flag": pd.array([True, None], dtype="bool[pyarrow]"),
            "old": pd.array([1, None], dtype="Int64"),
            "kind": pd.Categorical(["x", None]),
            "f": [0.5, np.nan],
        },
        index=[5, 9],
    )
    rows = models.as_model_input(frame)
    assert [str(dtype) for dtype in rows.dtypes] == [
        "object",
        "int32",
        "float64",
        "object",
        "float64",
        "category",
        "float64",
    ]
    assert rows["name"].tolist() == ["a", None]
    assert rows.index.tolist() == [0, 1]


def test_alias_lookup_reads_the_same_aliases_as_mlflow(registry, register, tracking):
    assert alias_lookup.aliases(tracking, NAME) == {}
    register("run-1")
    version = register("run-2").version
    registry.promote(NAME, version)
    assert alias_lookup.aliases(tracking, NAME) == registry.aliases(NAME) == {"candidate": version, "champion": version}
    assert alias_lookup.aliases(tracking, "another") == {}
