"""Look up a model's aliases without importing MLflow, which takes four seconds, where its database is a file."""

import sqlite3
from contextlib import closing

from stagebook.model.pipeline import Tracking
from stagebook.tracking.connection import sqlite_file


def aliases(tracking: Tracking, model: str) -> dict[str, str]:
    """Alias → version of a registered model; empty if there is no such model.

    Raises:
        TrackingUnavailable, TrackingRefused: see `connected`; never for a sqlite file.
    """
    file = sqlite_file(tracking.uri)
    if file is None:
        from stagebook.tracking.registry import Registry

        return Registry(tracking).aliases(model)
    if not file.exists():
        return {}
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            rows = database.execute("SELECT alias, version FROM registered_model_aliases WHERE name = ?", (model,))
            return {alias: str(version) for alias, version in rows}
    except sqlite3.Error:
        return {}
