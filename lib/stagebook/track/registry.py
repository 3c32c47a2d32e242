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
from stagebook.track import database, models
from stagebook.track.connection import as_default, connected, public, sqlite_file
from stagebook.track.projection import RUN_ID

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
LOCK_SECONDS = 120.0
ANSWER_SECONDS = 30
"""Models are larger than figures, and a stage has nothing else to do than to wait."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model; `created` is false where this run had registered it before."""

    name: str
    version: str
    created: bool


@dataclass(frozen=True)
class Version:
    """A version as a table shows it. `run_id` is the pipeline run's, `created_at` UTC ISO 8601."""

    version: str
    aliases: tuple[str, ...]
    run_id: str | None
    created_at: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """Versions and aliases of models at one tracking URI.

    Every method raises `TrackingUnavailable` if the server does not answer, and `RegistryError` naming
    what exists if there is no such model, version or alias.
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
    ) -> Registered:
        """Logs a scikit-learn model with signature and input example, registers it, names it `candidate`.

        An MLflow run that has registered a version gets the same one again, whatever it brings.

        Args:
            run_id: the pipeline run's id; a tag of the version.
            example: a few rows of the model's input (pandas), nulls as in the data.
            tags: further tags of the version; metrics become tags `metric.<name>` too.
            trusted: the types beyond skops' own that loading the model needs.
            mlflow_run_id: the MLflow run that the model and its metrics belong to.
            pip_requirements: what running the model needs (default: scikit-learn, skops, pandas and numpy
                at their present versions); given, because MLflow takes seconds to guess them.
        Raises:
            RegistryError: if the model is made of types that `trusted` does not name.
        """
        with self._writing() as client:
            found = self._of_run(client, name, mlflow_run_id)
            if found is None:
                model_id = models.log(
                    client,
                    model,
                    name=name,
                    example=example,
                    metrics=metrics,
                    trusted=trusted,
                    mlflow_run_id=mlflow_run_id,
                    pip_requirements=pip_requirements,
                )
                self._ensure(client, name)
                figures = {f"metric.{key}": f"{value:.6g}" for key, value in metrics.items()}
                made = client.create_model_version(
                    name,
                    f"models:/{model_id}",
                    run_id=mlflow_run_id,
                    tags={RUN_ID: run_id, **figures, **tags},
                    model_id=model_id,
                )
                version = str(made.version)
            else:
                version = str(found.version)
            client.set_registered_model_alias(name, CANDIDATE, version)
            return Registered(name, version, created=found is None)

    def promote(self, name: str, version: str) -> None:
        """Makes a version the champion; the champion before it is kept as `previous`."""
        with self._writing() as client:
            self._known(client, name, version)
            old = self._aliases(client, name).get(CHAMPION)
            if old == version:
                return
            if old is not None:
                client.set_registered_model_alias(name, PREVIOUS, old)
            client.set_registered_model_alias(name, CHAMPION, version)

    def rollback(self, name: str, to: str | None = None) -> tuple[str | None, str]:
        """Moves `champion` to a version, or to the champion before; the one that goes becomes `previous`.

        Returns:
            The old champion (None where there was none) and the new one.
        """
        with self._writing() as client:
            aliases = self._aliases(client, name)
            old, new = aliases.get(CHAMPION), to or aliases.get(PREVIOUS)
            if new is None:
                raise self._unknown(client, name, "has no champion before this one to go back to")
            self._known(client, name, new)
            if old is not None and old != new:
                client.set_registered_model_alias(name, PREVIOUS, old)
            client.set_registered_model_alias(name, CHAMPION, new)
            return old, new

    def version_of(self, name: str, alias: str) -> str | None:
        """The version that has the alias; None where none has it, or the model does not exist yet."""
        with self._reading() as client:
            return self._aliases(client, name).get(alias)

    def aliases(self, name: str) -> dict[str, str]:
        """Alias → version of a model; empty where it does not exist yet."""
        with self._reading() as client:
            return self._aliases(client, name)

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, oldest first; none where it is not registered."""
        with self._reading() as client:
            aliases = self._aliases(client, name)
            found = [
                Version(
                    version=str(version.version),
                    aliases=tuple(sorted(alias for alias, of in aliases.items() if of == str(version.version))),
                    run_id=version.tags.get(RUN_ID),
                    created_at=_time(version),
                    tags=dict(version.tags),
                )
                for version in _whole(client, f"name = '{name}'")
            ]
        return sorted(found, key=lambda version: int(version.version))

    def load(
        self,
        name: str,
        alias_or_version: str = CHAMPION,
        *,
        trusted: Sequence[str] = (),
        allow_pickle: bool = False,
    ) -> Any:
        """The scikit-learn model at `models:/<name>@<alias>` or `models:/<name>/<version>`.

        Of a skops file only skops' own types and `trusted` are loaded; the list that the model carries
        about itself is not believed.

        Args:
            allow_pickle: also load pickles, which run whatever code they hold.
        Raises:
            RegistryError: if it is a pickle, or holds a type that is not trusted.
        """
        with self._reading() as client:
            if alias_or_version.isdecimal():
                self._known(client, name, alias_or_version)
                uri = f"models:/{name}/{alias_or_version}"
            elif alias_or_version in self._aliases(client, name):
                uri = f"models:/{name}@{alias_or_version}"
            else:
                raise self._unknown(client, name, f"has no alias '{alias_or_version}'")
            return models.load(uri, self.tracking.uri, trusted=trusted, allow_pickle=allow_pickle)

    @contextmanager
    def _writing(self) -> "Iterator[MlflowClient]":
        """A client for one writer at a time on this machine: what is looked up still holds when it is used."""
        try:
            with FileLock(self._lock_file(), timeout=LOCK_SECONDS), self._reading() as client:
                yield client
        except Timeout as fault:
            raise RegistryError(f"another process is writing to the registry ({self._lock_file()}).") from fault

    @contextmanager
    def _reading(self) -> "Iterator[MlflowClient]":
        uri = self.tracking.uri
        database.ensure(self.tracking)
        with connected(self.tracking, answer_seconds=ANSWER_SECONDS) as client, as_default(uri):
            yield client

    def _lock_file(self) -> Path:
        file = sqlite_file(self.tracking.uri)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            return file.with_name(f"{file.name}.registry.lock")
        server = sha256(self.tracking.uri.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"stagebook-{os.getuid()}-registry-{server}.lock"

    def _of_run(self, client: "MlflowClient", name: str, mlflow_run_id: str) -> "ModelVersion | None":
        """The first version of an MLflow run: Unity Catalog takes one condition in a search, and none about tags."""
        found = [version for version in _all(client, f"run_id = '{mlflow_run_id}'") if version.name == name]
        return min(found, key=lambda version: int(version.version), default=None)

    def _ensure(self, client: "MlflowClient", name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name)
        except MlflowException as fault:
            if fault.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise

    def _aliases(self, client: "MlflowClient", name: str) -> dict[str, str]:
        """Alias → version; empty where the model does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as fault:
            if fault.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return {}
            raise
        return {alias: str(version) for alias, version in aliases.items()}

    def _known(self, client: "MlflowClient", name: str, version: str) -> None:
        if version not in [str(found.version) for found in _all(client, f"name = '{name}'")]:
            raise self._unknown(client, name, f"has no version '{version}'")

    def _unknown(self, client: "MlflowClient", name: str, what: str) -> RegistryError:
        """The error that says what there is instead."""
        versions = sorted((str(found.version) for found in _all(client, f"name = '{name}'")), key=int)
        if not versions:
            names = [model.name for model in client.search_registered_models()]
            there = ", ".join(names) or "no models yet"
            return RegistryError(
                f"there is no registered model '{name}' at {public(self.tracking.uri)}.{did_you_mean(name, names)}\n"
                f"  it holds: {there}\n  Run the stage that registers it."
            )
        aliases = ", ".join(f"{alias} = {of}" for alias, of in sorted(self._aliases(client, name).items()))
        return RegistryError(
            f"model '{name}' {what}.\n  versions: {', '.join(versions)} · aliases: {aliases or 'none'}"
        )


def _all(client: "MlflowClient", wanted: str) -> "list[ModelVersion]":
    found, page = [], None
    while True:
        part = client.search_model_versions(wanted, page_token=page)
        found += part
        page = part.token
        if not page:
            return found


def _whole(client: "MlflowClient", wanted: str) -> "Iterator[ModelVersion]":
    """The versions that a search finds, with their tags: Unity Catalog's searches give none."""
    for found in _all(client, wanted):
        yield client.get_model_version(found.name, str(found.version))


def _time(version: "ModelVersion") -> str:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
