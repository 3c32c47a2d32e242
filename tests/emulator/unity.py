"""Unity Catalog's model registry on a database: it accepts what the real one accepts, and refuses everything else.

The rules are those of MLflow's own client of it, `mlflow.store._unity_catalog.registry.rest_store`.
"""

import re
from typing import Any, NoReturn

from mlflow.entities.model_registry.model_version_search import ModelVersionSearch
from mlflow.entities.model_registry.registered_model_search import RegisteredModelSearch
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

_ONE_CONDITION = re.compile(r"\s*(name|run_id)\s*=\s*'[^']+'\s*")


class UnityCatalog(SqlAlchemyStore):
    """Models `catalog.schema.name`; searches accept one condition and return neither tags nor aliases."""

    def create_registered_model(self, name: str, *args: Any, **keywords: Any) -> Any:
        _check_three_levels(name)
        return super().create_registered_model(name, *args, **keywords)

    def get_registered_model(self, name: str) -> Any:
        _check_three_levels(name)
        return super().get_registered_model(name)

    def create_model_version(self, name: str, source: str, *args: Any, **keywords: Any) -> Any:
        """Refuses a model without a signature with inputs and outputs."""
        from mlflow.artifacts import download_artifacts

        signature = Model.load(download_artifacts(source)).signature
        if signature is None or signature.outputs is None:
            _refuse("All models in the Unity Catalog must be logged with a model signature.")
        return super().create_model_version(name, source, *args, **keywords)

    def search_model_versions(
        self, filter_string: Any = None, max_results: Any = None, order_by: Any = None, page_token: Any = None
    ) -> Any:
        if order_by is not None:
            _refuse("Argument 'order_by' is unsupported for models in the Unity Catalog.")
        if filter_string is None or not _ONE_CONDITION.fullmatch(filter_string):
            _refuse(f"Unsupported filter query: {filter_string!r}. Use name = '...' or run_id = '...'")
        page = super().search_model_versions(filter_string, max_results or 100, None, page_token)
        return PagedList([_without_tags(version) for version in page], page.token)

    def search_registered_models(
        self, filter_string: Any = None, max_results: Any = None, order_by: Any = None, page_token: Any = None
    ) -> Any:
        if filter_string is not None or order_by is not None:
            _refuse("Argument 'filter_string' is unsupported for models in the Unity Catalog.")
        page = super().search_registered_models(None, max_results or 100, None, page_token)
        return PagedList([RegisteredModelSearch(name=model.name) for model in page], page.token)

    def get_latest_versions(self, *args: Any, **keywords: Any) -> NoReturn:
        _refuse("Method 'get_latest_versions' is unsupported for models in the Unity Catalog.")

    def transition_model_version_stage(self, *args: Any, **keywords: Any) -> NoReturn:
        _refuse("Method 'transition_model_version_stage' is unsupported for models in the Unity Catalog.")


def _without_tags(version: Any) -> ModelVersionSearch:
    return ModelVersionSearch(
        name=version.name,
        version=version.version,
        creation_timestamp=version.creation_timestamp,
        source=version.source,
        run_id=version.run_id,
        status=version.status,
        model_id=version.model_id,
    )


def _check_three_levels(name: str) -> None:
    if len(name.split(".")) != 3:
        _refuse(f"{name!r} is not the name of a model in the Unity Catalog: catalog.schema.model")


def _refuse(reason: str) -> NoReturn:
    raise MlflowException(reason, error_code=INVALID_PARAMETER_VALUE)
