"""`dbutils.secrets`: values by scope and key, which output shows as `[REDACTED]`."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stagebook.standins.errors import SecretDoesNotExist

REDACTED = "[REDACTED]"


class SecretSource(Protocol):
    """Where secrets come from."""

    def find(self, scope: str, key: str) -> str | None:
        """The secret, if there is one."""
        ...

    def held(self) -> Iterable[tuple[str, str]]:
        """Scope and key of each secret that can be listed."""
        ...

    def hint(self, scope: str, key: str) -> str:
        """How to make a secret that was not found; never with a value."""
        ...


class Vault:
    """Secrets of a mapping: scope → key → value."""

    def __init__(self, scopes: Mapping[str, Mapping[str, str]]) -> None:
        self._scopes = scopes

    def find(self, scope: str, key: str) -> str | None:
        return self._scopes.get(scope, {}).get(key)

    def held(self) -> Iterable[tuple[str, str]]:
        return [(scope, key) for scope, keys in self._scopes.items() for key in keys]

    def hint(self, scope: str, key: str) -> str:
        return ""


class EnvironmentSecrets:
    """Secrets of environment variables named `<SCOPE>_<KEY>`; which of all variables are secrets nobody can list."""

    def find(self, scope: str, key: str) -> str | None:
        return os.environ.get(variable(scope, key))

    def held(self) -> Iterable[tuple[str, str]]:
        return ()

    def hint(self, scope: str, key: str) -> str:
        return f". On this machine, set the environment variable {variable(scope, key)}."


def variable(scope: str, key: str) -> str:
    """The environment variable that stands for a secret on a machine without scopes."""
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
    """`dbutils.secrets`. A value that was given out is not shown by what is printed afterwards."""

    def __init__(self, source: SecretSource) -> None:
        self._source = source
        self._shown: set[str] = set()

    def get(self, scope: str, key: str) -> str:
        """The secret, a text whose `repr` hides it.

        Raises:
            SecretDoesNotExist: there is none.
        """
        value = self._source.find(scope, key)
        if value is None:
            raise SecretDoesNotExist.of(scope, key, self._source.hint(scope, key))
        if value and value not in self._shown:
            self._shown.add(value)
            for stream in (sys.stdout, sys.stderr):
                _hide(stream, value)
        return _Hidden(value)

    def getBytes(self, scope: str, key: str) -> bytes:
        """The secret as bytes."""
        return self.get(scope, key).encode()

    def list(self, scope: str) -> Sequence[SecretMetadata]:
        """The keys of a scope."""
        return [SecretMetadata(key) for found, key in self._source.held() if found == scope]

    def listScopes(self) -> Sequence[SecretScope]:
        """The scopes."""
        return [SecretScope(name) for name in dict.fromkeys(scope for scope, _ in self._source.held())]


class _Hidden(str):
    """A text that is not shown where a cell ends with it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{REDACTED}'"


def _hide(stream: Any, value: str) -> None:
    """Let a stream write `[REDACTED]` for a value; only what is written at once is recognised."""
    write = stream.write

    def redacted(text: str) -> Any:
        return write(text.replace(value, REDACTED))

    stream.write = redacted
