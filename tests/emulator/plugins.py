"""MLflow's plug-ins in a task: `databricks` and `databricks-uc` are databases of this machine.

MLflow imports this while it is being imported itself, so it imports nothing of MLflow before that is used.
"""

import os
from typing import Any

DATABASE = "EMULATOR_DATABASE"
"""The environment variable that names the database."""

ENTRY_POINTS = """\
[mlflow.tracking_store]
databricks = emulator.plugins:tracking_store

[mlflow.model_registry_store]
databricks-uc = emulator.plugins:registry_store

[mlflow.artifact_repository]
models = emulator.plugins:model_files
"""


def tracking_store(store_uri: str | None = None, artifact_uri: str | None = None) -> Any:
    """The tracking server of the workspace; its artifacts are beside its database."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = os.environ[DATABASE]
    return SqlAlchemyStore(database, f"{database.removeprefix('sqlite:///')}.artifacts")


def registry_store(store_uri: str) -> Any:
    """Unity Catalog's registry."""
    from emulator.unity import UnityCatalog

    return UnityCatalog(os.environ[DATABASE])


def model_files(artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> Any:
    """The files of a model, read where they were logged instead of through a cloud's credentials."""
    from mlflow.store.artifact import models_artifact_repo as repositories

    if repositories.ModelsArtifactRepository._is_logged_model_uri(artifact_uri):
        return repositories.ModelsArtifactRepository(artifact_uri, tracking_uri, registry_uri)
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    logged_uri = repositories.ModelsArtifactRepository.get_underlying_uri(artifact_uri)
    return get_artifact_repository(str(logged_uri), tracking_uri, registry_uri)
