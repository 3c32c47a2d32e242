"""What is wrong with a parameter file: findings, each with its place, reported in one go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stagebook.errors import ConfigError


@dataclass(frozen=True)
class Finding:
    """One thing to mend. `where` is `file:line`, a flag or an environment variable."""

    where: str
    key: str
    what: str
    allowed: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.key}: {self.what}" if self.key else f"{self.where}: {self.what}"
        return head + (f"\n    allowed: {self.allowed}" if self.allowed else "")


class InvalidParameters(ConfigError):
    """The parameter files do not describe a pipeline that could run. Nothing was started."""

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Self:
        count = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        return cls(f"the parameters are not valid: {count}, nothing was started.\n  " + "\n  ".join(map(str, findings)))
