"""`dbutils.notebook`, which ends a notebook before its last cell, and `dbutils.library`."""

from collections.abc import Mapping
from typing import NoReturn

from stagebook.dbutils.errors import NotebookRunUnsupported


class NotebookExit(BaseException):
    """The notebook has ended successfully, with a value. No `except Exception` of the notebook catches it."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value

    def _render_traceback_(self) -> list[str]:
        return [f"Notebook exited: {self.value}"]


class NotebookUtility:
    """`dbutils.notebook`."""

    def exit(self, value: str) -> NoReturn:
        """End the notebook; its remaining cells are not run.

        Raises:
            NotebookExit: always.
        """
        raise NotebookExit(str(value))

    def run(self, path: str, timeout_seconds: int = 0, arguments: Mapping[str, str] | None = None) -> NoReturn:
        """Refuse to run another notebook as a job of its own.

        Raises:
            NotebookRunUnsupported: always; the message says what to do instead.
        """
        raise NotebookRunUnsupported.of(path)


class LibraryUtility:
    """`dbutils.library`."""

    def restartPython(self) -> None:
        """Do nothing: packages are importable without a restart, and names of earlier cells stay."""
