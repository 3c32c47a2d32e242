"""The model: gradient-boosted trees on the features, calibrated on a later month, storable without pickle.

The fitted model is a plain scikit-learn classifier that holds the names of its features: to score, it needs
only a frame of the table `features`.
"""

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from flightdelay.features import CATEGORICAL
from flightdelay.frames import to_pandas

TRUSTED_TYPES = [
    "functools.partial",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
]
"""Types beyond scikit-learn's public ones that a stored model consists of; skops loads these and no others."""

Model = CalibratedClassifierCV


def fit(
    train: IntoFrame,
    calibrate: IntoFrame,
    features: Sequence[str],
    *,
    seed: int = 13,
    learning_rate: float = 0.1,
    max_iter: int = 50,
    max_leaf_nodes: int = 31,
) -> Model:
    """A classifier for `late`: trees fitted on `train`, its probabilities calibrated on `calibrate`.

    The same rows, features and seed give the same model.

    Args:
        train: `late` (never null) and the features; `calibrate` likewise, later flights.
        features: which columns to learn from, in this order.
        learning_rate: how much each tree corrects. max_iter: number of trees.
        max_leaf_nodes: leaves of a tree at most.
    Raises:
        ValueError: if a part is empty, or holds only late or only punctual flights.
    """
    for name, part in (("train", train), ("calibrate", calibrate)):
        classes = len(np.unique(labels(part)))
        if classes != 2:
            raise ValueError(f"'{name}' has {classes} of the two classes: there is nothing to learn from it")
    names = [name for name in features if name in CATEGORICAL]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    trees = HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_iter=max_iter,
        max_leaf_nodes=max_leaf_nodes,
        categorical_features=list(range(len(names))),  # pyright: ignore[reportArgumentType]
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=seed,
    )
    columns = ColumnTransformer([("names", encoder, names)], remainder="passthrough")
    pipeline = Pipeline([("columns", columns), ("trees", trees)])
    pipeline.fit(design_matrix(train, features), labels(train))
    # A sigmoid, not steps: steps would give scores of 0 and 1 where a month has no such flights, and tie many scores.
    return CalibratedClassifierCV(FrozenEstimator(pipeline), method="sigmoid").fit(
        design_matrix(calibrate, features), labels(calibrate)
    )


def score(model: Any, frame: IntoFrame) -> np.ndarray:
    """The calibrated probability of being late for each row, in the order of the rows.

    Carriers, airports and engines that the model never saw count as missing.

    Args:
        model: the result of `fit`, or the same model loaded from its file.
        frame: at least the columns that `features_of(model)` names.
    """
    matrix = design_matrix(frame, features_of(model))
    return model.predict_proba(matrix)[:, 1] if len(matrix) else np.empty(0)


def features_of(model: Any) -> list[str]:
    """The names of the features that a model was fitted on, in order."""
    return [str(name) for name in model.feature_names_in_]


def design_matrix(frame: IntoFrame, features: Sequence[str]) -> pd.DataFrame:
    """The input of scikit-learn: names as text with None for missing, numbers as float with NaN.

    The only place where a frame of any engine becomes NumPy-backed pandas.

    Raises:
        ValueError: if the frame lacks a feature.
    """
    lazy_or_eager = nw.from_native(frame)
    missing = [name for name in features if name not in lazy_or_eager.collect_schema()]
    if missing:
        raise ValueError(f"the frame lacks the features {', '.join(missing)}")
    table = to_pandas(lazy_or_eager.select(*features).to_native())
    return pd.DataFrame(
        {
            name: table[name].to_numpy(dtype=object, na_value=None)
            if name in CATEGORICAL
            else table[name].to_numpy(dtype="float64", na_value=np.nan)
            for name in features
        },
        columns=pd.Index(features),
    )


def labels(frame: IntoFrame) -> np.ndarray:
    """`late` as a boolean array; it must not hold nulls."""
    late = to_pandas(nw.from_native(frame).select("late").to_native())["late"]
    if late.hasnans:
        raise ValueError(f"'late' is null in {late.isna().sum()} rows: drop flights without arrival first")
    return late.to_numpy(dtype=bool)


def example(frame: IntoFrame, features: Sequence[str], rows: int = 5) -> pd.DataFrame:
    """A few rows as the model takes them, to document its input."""
    return design_matrix(nw.from_native(frame).head(rows).to_native(), features)
