"""`dbutils.secrets`: values by scope and key, which output shows as `[REDACTED]`."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stagebook.dbutils.errors import SecretDoesNotExist

REDACTED = "[REDACTED]"


class SecretSource(Protocol):
    """Where secrets come from."""

    def find(self, scope: str, key: str) -> str | None:
        """The secret; None if there is none."""
        ...

    def list_keys(self) -> Iterable[tuple[str, str]]:
        """Scope and key of each secret that can be listed."""
        ...

    def hint(self, scope: str, key: str) -> str:
        """How to create a missing secret, for the error message; never with a value."""
        ...


class MappingSecrets:
    """Secrets in a mapping: scope → key → value."""

    def __init__(self, scopes: Mapping[str, Mapping[str, str]]) -> None:
        self._scopes = scopes

    def find(self, scope: str, key: str) -> str | None:
        return self._scopes.get(scope, {}).get(key)

    def list_keys(self) -> Iterable[tuple[str, str]]:
        return [(scope, key) for scope, keys in self._scopes.items() for key in keys]

    def hint(self, scope: str, key: str) -> str:
        return ""


class EnvironmentSecrets:
    """Secrets in environment variables named `<SCOPE>_<KEY>`; they cannot be listed: any variable could be one."""

    def find(self, scope: str, key: str) -> str | None:
        return os.environ.get(environment_variable(scope, key))

    def list_keys(self) -> Iterable[tuple[str, str]]:
        return ()

    def hint(self, scope: str, key: str) -> str:
        return f". On this machine, set the environment variable {environment_variable(scope, key)}."


def environment_variable(scope: str, key: str) -> str:
    """Name of the environment variable that holds a secret."""
    return f"{scope}_{key}".replace("-", "_").replace(".", "_").upper()


@dataclass(frozen=True)
class SecretMetadata:
    """One line of `dbutils.secrets.list`."""

    key: str


@dataclass(frozen=True)
class SecretScope:
    """One line of `dbutils.secrets.listScopes`."""

    name: str

    def getName(self) -> str:
        return self.name


class Secrets:
    """`dbutils.secrets`. Output that is printed after a value was read does not show it."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._redacted_values: set[str] = set()

    def get(self, scope: str, key: str) -> str:
        """The secret, a text whose `repr` is redacted.

        Raises:
            SecretDoesNotExist: there is no such secret.
        """
        value = self._source.find(scope, key)
        if value is None:
            raise SecretDoesNotExist.of(scope, key, self._source.hint(scope, key))
        if value and value not in self._redacted_values:
            self._redacted_values.add(value)
            for stream in (sys.stdout, sys.stderr):
                _redact(stream, value)
        return _RedactedText(value)

    def getBytes(self, scope: str, key: str) -> bytes:
        """The secret as bytes."""
        return self.get(scope, key).encode()

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        """The keys of a scope."""
        return [SecretMetadata(key) for owner, key in self._source.list_keys() if owner == scope]

    def listScopes(self) -> Sequence[SecretScope]:
        """The scopes."""
        return [SecretScope(name) for name in dict.fromkeys(scope for scope, _ in self._source.list_keys())]


class _RedactedText(str):
    """A text that a cell does not show as its result."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"


def _redact(stream: Any, value: str) -> None:
    """Make a stream write `[REDACTED]` instead of a value; a value written in several calls is not recognised."""
    write = stream.write

    def redacted(text: str) -> Any:
        return write(text.replace(value, REDACTED))

    stream.write = redacted
