"""`dbutils.notebook`, the end of a notebook before its last cell; and `dbutils.library`."""

from collections.abc import Mapping
from typing import NoReturn

from stagebook.standins.errors import NotebookNotRun


class NotebookExit(BaseException):
    """The notebook has ended, successfully, with a value. No `except Exception` around it keeps it from that."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value

    def _render_traceback_(self) -> list[str]:
        return [f"Notebook exited: {self.value}"]


class Notebook:
    """`dbutils.notebook`."""

    def exit(self, value: str) -> NoReturn:
        """End the notebook; the rest of it is not run.

        Raises:
            NotebookExit: always.
        """
        raise NotebookExit(str(value))

    def run(self, path: str, timeout_seconds: int = 0, arguments: Mapping[str, str] | None = None) -> NoReturn:
        """Refused.

        Raises:
            NotebookNotRun: with what to do instead.
        """
        raise NotebookNotRun.of(path)


class Library:
    """`dbutils.library`."""

    def restartPython(self) -> None:
        """Nothing: what `%pip` installs is imported without that, and names of earlier cells stay."""
