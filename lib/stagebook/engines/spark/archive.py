"""An archive of the classes that a server loads (AppCDS): with it the next server is up in about half the time.

A server that has done some work writes it when it ends because it was idle, so that nobody waits for it. A JVM
that cannot use an archive starts without. Its name stands for the Java and the jars that it fits.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

WORTH_SECONDS = 3.0
"""A server that was in use for less has not loaded the classes that matter."""
UNUSED_DAYS = 30


def path(folder: Path, java: Path, jars: Iterable[Path]) -> Path:
    """The archive's file for this Java and this class path; other files or another age are another archive."""
    files = [java / "release", *sorted(jars)]
    same = [str(java), *(f"{file} {file.stat().st_mtime_ns}" for file in files if file.exists())]
    return folder / f"{hashlib.sha256(chr(10).join(same).encode()).hexdigest()[:12]}.jsa"


@dataclass(frozen=True)
class Archive:
    """The archive as one server has to do with it: it writes `part`; None: it uses the whole one, if it is there."""

    whole: Path
    part: Path | None = None

    @classmethod
    def of(cls, whole: Path, keeper: int) -> Self:
        """To be used where it is there; else written, unless another server is about to: one is enough."""
        others = [part for part in whole.parent.glob(f"{whole.name}.*") if not _left(part)]
        if whole.exists():
            whole.touch()
            return cls(whole)
        if others:
            return cls(whole)  # none yet: the JVM starts without
        part = whole.with_name(f"{whole.name}.{keeper}")
        part.touch()
        return cls(whole, part)

    @property
    def option(self) -> str:
        """What a JVM is told; an archive that is not there is no error."""
        archive = f"-XX:ArchiveClassesAtExit={self.part}" if self.part else f"-XX:SharedArchiveFile={self.whole}"
        return f"{archive} -Xlog:cds*=error"

    def keep(self, used_seconds: float, whole: bool) -> None:
        """After the JVM's end: what it wrote gets its name in one step, and archives long unused go.

        Args:
            whole: the JVM ended by itself, not in the middle of writing.
        """
        if self.part is None:
            return
        if not whole or used_seconds < WORTH_SECONDS or not self.part.exists() or not self.part.stat().st_size:
            self.part.unlink(missing_ok=True)
            return
        self.part.replace(self.whole)
        for other in self.whole.parent.glob("*.jsa"):
            if time.time() - other.stat().st_mtime > UNUSED_DAYS * 86400:
                other.unlink(missing_ok=True)


def _left(part: Path) -> bool:
    """Whether nobody will finish this part; it is then removed."""
    if psutil.pid_exists(int(part.suffix[1:])):
        return False
    part.unlink(missing_ok=True)
    return True
