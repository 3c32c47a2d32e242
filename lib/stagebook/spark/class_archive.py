"""An archive of the classes that a Spark server loads (AppCDS): with it the next server starts in about half the time.

A server writes it when it ends because it was idle, so that nobody waits for it. A JVM that cannot use an
archive starts without one. The file name is a digest of the Java and the jars that the archive fits.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

MIN_USE_SECONDS = 3.0
"""A server that was in use for less has not loaded the classes that matter."""
MAX_UNUSED_DAYS = 30


def archive_file(folder: Path, java: Path, jars: Iterable[Path]) -> Path:
    """The archive's file for this Java and class path; another file, or another modification time, gives another."""
    files = [java / "release", *sorted(jars)]
    fingerprint = [str(java), *(f"{file} {file.stat().st_mtime_ns}" for file in files if file.exists())]
    return folder / f"{hashlib.sha256(chr(10).join(fingerprint).encode()).hexdigest()[:12]}.jsa"


@dataclass(frozen=True)
class ClassArchive:
    """The class archive of one server: it writes `partial`; where that is None, it uses `file` if it exists."""

    file: Path
    partial: Path | None = None

    @classmethod
    def claim(cls, file: Path, supervisor_pid: int) -> Self:
        """Use the archive where it exists; else write it, unless another server is already doing so."""
        unfinished = [partial for partial in file.parent.glob(f"{file.name}.*") if not _remove_if_abandoned(partial)]
        if file.exists():
            file.touch()
            return cls(file)
        if unfinished:
            return cls(file)  # not there yet: the JVM starts without
        partial = file.with_name(f"{file.name}.{supervisor_pid}")
        partial.touch()
        return cls(file, partial)

    @property
    def jvm_option(self) -> str:
        """The JVM's option; to name an archive that does not exist is no error."""
        archive = f"-XX:ArchiveClassesAtExit={self.partial}" if self.partial else f"-XX:SharedArchiveFile={self.file}"
        return f"{archive} -Xlog:cds*=error"

    def publish(self, used_seconds: float, *, complete: bool) -> None:
        """Give the archive that the ended JVM wrote its name in one step, and delete archives that are long unused.

        Args:
            complete: the JVM ended by itself, not in the middle of writing.
        """
        if self.partial is None:
            return
        is_written = self.partial.exists() and self.partial.stat().st_size > 0
        if not complete or used_seconds < MIN_USE_SECONDS or not is_written:
            self.partial.unlink(missing_ok=True)
            return
        self.partial.replace(self.file)
        for archive in self.file.parent.glob("*.jsa"):
            if time.time() - archive.stat().st_mtime > MAX_UNUSED_DAYS * 86400:
                archive.unlink(missing_ok=True)


def _remove_if_abandoned(partial: Path) -> bool:
    """Remove a partial archive whose supervisor has ended; returns whether it did."""
    if psutil.pid_exists(int(partial.suffix[1:])):
        return False
    partial.unlink(missing_ok=True)
    return True
