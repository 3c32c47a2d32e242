"""Findings: what is wrong with a parameter file, each with its location, reported in one go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from stagebook.errors import ConfigError


@dataclass(frozen=True)
class Finding:
    """One mistake. `where` is `file:line`, a flag or an environment variable.

    `fails_its_stage` says that it keeps one stage from succeeding, and all others could run.
    """

    where: str
    key: str
    message: str
    allowed: str = ""
    fails_its_stage: bool = False

    def __str__(self) -> str:
        head = f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"
        return head + (f"\n    allowed: {self.allowed}" if self.allowed else "")


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by file and line."""

    def location(finding: Finding) -> tuple[str, int]:
        file, _, line = finding.where.rpartition(":")
        return (file, int(line)) if line.isdigit() else (finding.where, 0)

    return sorted(findings, key=location)


class InvalidParameters(ConfigError):
    """The parameter files do not describe a pipeline that could run. Nothing was started."""

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Self:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        return cls(f"the parameters are not valid: {count}, nothing was started.\n  " + "\n  ".join(map(str, findings)))
