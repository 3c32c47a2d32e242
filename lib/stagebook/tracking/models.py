"""Log scikit-learn models in skops format with signature and example, and load them without trusting the file."""

import logging
import math
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook.errors import RegistryError
from stagebook.tracking.connection import error_summary

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

REQUIREMENTS = ("scikit-learn", "skops", "pandas", "numpy")


def log(
    client: "MlflowClient",
    model: Any,
    *,
    name: str,
    example: Any,
    metrics: Mapping[str, float],
    trusted: Sequence[str],
    mlflow_run_id: str,
    pip_requirements: Sequence[str] | None,
) -> str:
    """Log a model to an MLflow run and return the id of the logged model.

    MLflow's global state, which belongs to the notebook, is neither used nor changed.

    Raises:
        RegistryError: the model contains types that `trusted` does not name.
    """
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.models import Model
    from mlflow.sklearn import save_model

    rows = as_model_input(example)
    refuse_untrusted(model, trusted)
    run = client.get_run(mlflow_run_id)
    default_requirements = [f"{package}=={version(package)}" for package in REQUIREMENTS]
    logged = client.create_logged_model(run.info.experiment_id, name.replace(".", "_"), source_run_id=mlflow_run_id)
    client.log_outputs(mlflow_run_id, [LoggedModelOutput(logged.model_id, step=0)])
    metadata = Model(artifact_path=logged.artifact_location, run_id=mlflow_run_id, model_id=logged.model_id)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        save_model(
            model,
            f"{folder}/model",
            mlflow_model=metadata,
            serialization_format="skops",
            skops_trusted_types=list(trusted),
            signature=_signature(model, rows),
            input_example=rows,
            pip_requirements=list(pip_requirements or default_requirements),
            pyfunc_predict_fn=_predict_method(model),
        )
        client.log_model_artifacts(logged.model_id, f"{folder}/model")
    client.finalize_logged_model(logged.model_id, "READY")
    timestamp_ms = int(time.time() * 1000)
    figures = [Metric(key, value, timestamp_ms, 0, model_id=logged.model_id) for key, value in metrics.items()]
    if figures:
        client.log_batch(mlflow_run_id, metrics=figures)
    return logged.model_id


def load(uri: str, tracking_uri: str, *, trusted: Sequence[str], allow_pickle: bool) -> Any:
    """The scikit-learn model at `uri`.

    Raises:
        RegistryError: it is not a scikit-learn model, it is a pickle, or it contains a type that is not trusted.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model
    from skops import io
    from skops.io.exceptions import UntrustedTypesFoundException

    with tempfile.TemporaryDirectory() as folder:
        root = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri))
        flavor = Model.load(str(root)).flavors.get("sklearn")
        if flavor is None:
            raise RegistryError(f"{uri} is not a scikit-learn model.")
        file = (root / flavor["pickled_model"]).resolve()
        if not file.is_relative_to(root.resolve()) or flavor.get("code"):
            raise RegistryError(f"{uri} brings code or files of its own; it is not loaded.")
        file_format = flavor.get("serialization_format", "pickle")
        if file_format == "skops":
            try:
                return io.load(file, trusted=list(trusted))
            except UntrustedTypesFoundException as fault:
                raise RegistryError(
                    f"{uri} holds types that are not trusted: {error_summary(fault)}\n"
                    "  If they are yours, name them in `trusted`."
                ) from fault
        if not allow_pickle:
            raise RegistryError(
                f"{uri} is stored as {file_format}, which runs code when it is loaded.\n"
                "  Register it again in skops format, or load it with allow_pickle=True if you trust its maker."
            )
        return _unpickled(file)


def refuse_untrusted(model: Any, trusted: Sequence[str]) -> None:
    """Check that loading the model needs only types that skops trusts or that `trusted` names.

    Raises:
        RegistryError: it needs others; the message lists them, so that they can be copied.
    """
    from skops import io

    missing = sorted(set(io.get_untrusted_types(data=io.dumps(model))) - set(trusted))
    if missing:
        raise RegistryError(
            f"the model is made of types that `trusted` does not name: {', '.join(missing)}.\n"
            "  Look at them, and add them to `trusted` where the model is registered and loaded."
        )


def as_model_input(example: Any) -> "pd.DataFrame":
    """The example as a pandas frame with the NumPy types that scikit-learn gets: text as objects, numbers with NaN."""
    import pandas as pd

    unchanged = (pd.CategoricalDtype, pd.DatetimeTZDtype)
    frame = pd.DataFrame(example).reset_index(drop=True)
    for name in frame.columns:
        values = frame[name]
        if not isinstance(values.dtype, pd.api.extensions.ExtensionDtype) or isinstance(values.dtype, unchanged):
            continue
        if pd.api.types.is_bool_dtype(values.dtype) or not pd.api.types.is_numeric_dtype(values.dtype):
            frame[name] = values.astype(object).where(values.notna(), None)
        elif values.hasnans:
            frame[name] = values.to_numpy(dtype="float64", na_value=math.nan)
        else:
            frame[name] = values.to_numpy()
    return frame


def _predict_method(model: Any) -> str:
    return "predict_proba" if hasattr(model, "predict_proba") else "predict"


def _signature(model: Any, rows: "pd.DataFrame") -> Any:
    from mlflow.models import infer_signature

    return infer_signature(rows, getattr(model, _predict_method(model))(rows))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence MLflow's hints about integer columns and pip, which do not apply to models that are saved this way."""
    logger = logging.getLogger("mlflow.utils.environment")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column")
            yield
    finally:
        logger.setLevel(level)


def _unpickled(file: Path) -> Any:
    import cloudpickle

    with file.open("rb") as stream:
        return cloudpickle.load(stream)
