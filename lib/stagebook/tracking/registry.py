"""The model registry: versions in skops format, aliases `candidate`, `champion` and `previous`."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stagebook.errors import RegistryError, did_you_mean
from stagebook.model.pipeline import Tracking
from stagebook.tracking import database, models
from stagebook.tracking.connection import connected, default_tracking_uri, public_uri, sqlite_file
from stagebook.tracking.names import accepted_text, encoded
from stagebook.tracking.run_views import MAX_TAG, RUN_ID, accepted_metrics

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
LOCK_SECONDS = 120.0
ANSWER_SECONDS = 30
"""Longer than elsewhere: models are large, and a stage can do nothing until its model is sent."""


@dataclass(frozen=True)
class Registration:
    """A version of a registered model. `created` is false if this run had registered it already."""

    name: str
    version: str
    created: bool


@dataclass(frozen=True)
class RegisteredVersion:
    """A version with its aliases and tags. `run_id` is the pipeline run's, `created_at` is UTC in ISO 8601."""

    version: str
    aliases: tuple[str, ...]
    run_id: str | None
    created_at: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """Versions and aliases of models at one tracking URI.

    Every method raises `TrackingUnavailable` if the server does not answer. `RegistryError` means that the model,
    version or alias does not exist; its message lists those that do.
    """

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def register(
        self,
        model: Any,
        *,
        name: str,
        run_id: str,
        example: Any,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        trusted: Sequence[str],
        mlflow_run_id: str,
        pip_requirements: Sequence[str] | None = None,
    ) -> Registration:
        """Log a scikit-learn model with signature and input example, register it, and give it the alias `candidate`.

        An MLflow run registers one version only: a second call returns that version and ignores the model. Names of
        metrics and tags are written as MLflow accepts them (`tracking.names`); metrics that are no numbers for it are
        left out.

        Args:
            run_id: the pipeline run's id; a tag of the version.
            example: a few rows of the model's input (pandas), nulls as in the data.
            tags: further tags of the version; metrics become tags `metric.<name>` too.
            trusted: the types beyond skops' own that loading the model needs.
            mlflow_run_id: the MLflow run that the model and its metrics belong to.
            pip_requirements: packages that running the model needs (default: scikit-learn, skops, pandas and numpy
                at their installed versions). MLflow would take seconds to infer them.
        Raises:
            RegistryError: the model contains types that `trusted` does not name.
        """
        with self._writing() as client:
            existing = self._version_of_run(client, name, mlflow_run_id)
            if existing is None:
                figures = accepted_metrics(metrics)
                model_id = models.log(
                    client,
                    model,
                    name=name,
                    example=example,
                    metrics=figures,
                    trusted=trusted,
                    mlflow_run_id=mlflow_run_id,
                    pip_requirements=pip_requirements,
                )
                self._ensure_model(client, name)
                metric_tags = {f"metric.{key}": f"{value:.6g}" for key, value in figures.items()}
                own_tags = {encoded(key): accepted_text(str(text), MAX_TAG) for key, text in tags.items()}
                created = client.create_model_version(
                    name,
                    f"models:/{model_id}",
                    run_id=mlflow_run_id,
                    tags={RUN_ID: run_id, **metric_tags, **own_tags},
                    model_id=model_id,
                )
                version = str(created.version)
            else:
                version = str(existing.version)
            client.set_registered_model_alias(name, CANDIDATE, version)
            return Registration(name, version, created=existing is None)

    def promote(self, name: str, version: str) -> None:
        """Make a version the champion; the old champion gets the alias `previous`."""
        with self._writing() as client:
            self._require_version(client, name, version)
            old = self._aliases(client, name).get(CHAMPION)
            if old == version:
                return
            if old is not None:
                client.set_registered_model_alias(name, PREVIOUS, old)
            client.set_registered_model_alias(name, CHAMPION, version)

    def rollback(self, name: str, to: str | None = None) -> tuple[str | None, str]:
        """Move the alias `champion` back to a version (default: the previous champion); the old one becomes `previous`.

        Returns:
            The version of the old champion (None if there was none) and of the new one.
        """
        with self._writing() as client:
            aliases = self._aliases(client, name)
            old, new = aliases.get(CHAMPION), to or aliases.get(PREVIOUS)
            if new is None:
                raise self._missing(client, name, "has no champion before this one to go back to")
            self._require_version(client, name, new)
            if old is not None and old != new:
                client.set_registered_model_alias(name, PREVIOUS, old)
            client.set_registered_model_alias(name, CHAMPION, new)
            return old, new

    def version_of(self, name: str, alias: str) -> str | None:
        """The version that has the alias; None if no version has it or the model does not exist yet."""
        with self._reading() as client:
            return self._aliases(client, name).get(alias)

    def aliases(self, name: str) -> dict[str, str]:
        """Alias → version of a model; empty if the model does not exist yet."""
        with self._reading() as client:
            return self._aliases(client, name)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All versions of a model, oldest first; empty if the model is not registered."""
        with self._reading() as client:
            aliases = self._aliases(client, name)
            versions = [
                RegisteredVersion(
                    version=str(version.version),
                    aliases=tuple(sorted(alias for alias, target in aliases.items() if target == str(version.version))),
                    run_id=version.tags.get(RUN_ID),
                    created_at=_created_at(version),
                    tags=dict(version.tags),
                )
                for version in _search_with_tags(client, f"name = '{name}'")
            ]
        return sorted(versions, key=lambda version: int(version.version))

    def load(
        self,
        name: str,
        alias_or_version: str = CHAMPION,
        *,
        trusted: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> Any:
        """The scikit-learn model at `models:/<name>@<alias>` or `models:/<name>/<version>`.

        Only types that skops trusts and those in `trusted` are loaded; the list of trusted types in the model's own
        file is ignored.

        Args:
            allow_pickle: also load pickles, which run whatever code they contain.
        Raises:
            RegistryError: the model is a pickle, or contains a type that is not trusted.
        """
        with self._reading() as client:
            if alias_or_version.isdecimal():
                self._require_version(client, name, alias_or_version)
                uri = f"models:/{name}/{alias_or_version}"
            elif alias_or_version in self._aliases(client, name):
                uri = f"models:/{name}@{alias_or_version}"
            else:
                raise self._missing(client, name, f"has no alias '{alias_or_version}'")
            return models.load(uri, self.tracking.uri, trusted=trusted, allow_pickle=allow_pickle)

    @contextmanager
    def _writing(self) -> "Iterator[MlflowClient]":
        """A client with the machine's write lock, so that nothing changes between looking up and writing."""
        try:
            with FileLock(self._lock_file(), timeout=LOCK_SECONDS), self._reading() as client:
                yield client
        except Timeout as fault:
            raise RegistryError(f"another process is writing to the registry ({self._lock_file()}).") from fault

    @contextmanager
    def _reading(self) -> "Iterator[MlflowClient]":
        uri = self.tracking.uri
        database.ensure_prepared(self.tracking)
        with connected(self.tracking, answer_seconds=ANSWER_SECONDS) as client, default_tracking_uri(uri):
            yield client

    def _lock_file(self) -> Path:
        file = sqlite_file(self.tracking.uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            return file.with_name(f"{file.name}.registry.lock")
        server = sha256(self.tracking.uri.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"stagebook-{os.getuid()}-registry-{server}.lock"

    def _version_of_run(self, client: "MlflowClient", name: str, mlflow_run_id: str) -> "ModelVersion | None":
        """The first version of an MLflow run.

        The name is compared here, since Unity Catalog takes one condition in a search, and none about tags.
        """
        versions = [version for version in _search(client, f"run_id = '{mlflow_run_id}'") if version.name == name]
        return min(versions, key=lambda version: int(version.version), default=None)

    def _ensure_model(self, client: "MlflowClient", name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as fault:
            if fault.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise

    def _aliases(self, client: "MlflowClient", name: str) -> dict[str, str]:
        """Alias → version; empty if the model does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as fault:
            if fault.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return {}
            raise
        return {alias: str(version) for alias, version in aliases.items()}

    def _require_version(self, client: "MlflowClient", name: str, version: str) -> None:
        if version not in _version_numbers(client, name):
            raise self._missing(client, name, f"has no version '{version}'")

    def _missing(self, client: "MlflowClient", name: str, problem: str) -> RegistryError:
        """The error about something that does not exist; it lists what does."""
        versions = sorted(_version_numbers(client, name), key=int)
        if not versions:
            names = [model.name for model in client.search_registered_models()]
            model_names = ", ".join(names) or "no models yet"
            uri, hint = public_uri(self.tracking.uri), did_you_mean(name, names)
            return RegistryError(
                f"there is no registered model '{name}' at {uri}.{hint}\n"
                f"  it holds: {model_names}\n  Run the stage that registers it."
            )
        aliases = ", ".join(f"{alias} = {version}" for alias, version in sorted(self._aliases(client, name).items()))
        return RegistryError(
            f"model '{name}' {problem}.\n  versions: {', '.join(versions)} · aliases: {aliases or 'none'}"
        )


def _version_numbers(client: "MlflowClient", name: str) -> list[str]:
    return [str(version.version) for version in _search(client, f"name = '{name}'")]


def _search(client: "MlflowClient", condition: str) -> "list[ModelVersion]":
    """All versions that meet a search condition, from all pages of the answer."""
    versions, token = [], None
    while True:
        page = client.search_model_versions(condition, page_token=token)
        versions += page
        token = page.token
        if not token:
            return versions


def _search_with_tags(client: "MlflowClient", condition: str) -> "Iterator[ModelVersion]":
    """As `_search`, with the tags of each version, which Unity Catalog's searches leave out."""
    for version in _search(client, condition):
        yield client.get_model_version(version.name, str(version.version))


def _created_at(version: "ModelVersion") -> str:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
