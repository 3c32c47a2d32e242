"""All errors that a user can cause; a message says where, what, what is allowed and what to do.

Each derives from `StagebookError` and has the exit status that the command ends with. They are built in classmethods,
so that the one string argument survives pickling and the way through a kernel's error message.
"""

import errno
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar, Self


def did_you_mean(name: str, allowed: Sequence[str]) -> str:
    """A hint with the nearest allowed name; empty if none is near."""
    lowered = {candidate.lower(): candidate for candidate in allowed}
    close = get_close_matches(name.lower(), list(lowered), n=1)
    return f" Did you mean '{lowered[close[0]]}'?" if close else ""


def _columns(names: Sequence[str]) -> str:
    return ", ".join(names) or "no column"


class StagebookError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code: ClassVar[int] = 1


class ConfigError(StagebookError):
    """Parameter files, flags or notebooks contradict each other; nothing was started."""

    exit_code = 2


class PermanentError(StagebookError):
    """An error inside a stage that another attempt cannot avoid; it is never retried."""


class StageEnd(BaseException):
    """No error: it ends a stage before its last cell, successfully. No `except Exception` of a notebook stops it."""

    def _render_traceback_(self) -> list[str]:
        return [self.shown(str(self))]

    @staticmethod
    def shown(reason: str) -> str:
        """What a notebook shows in place of a traceback."""
        return f"The stage ends here: {reason}"


class SchemaViolation(PermanentError):
    """A frame does not fit the declared schema of its table."""

    @classmethod
    def of(cls, table: str, problem: str, *details: str, todo: str) -> Self:
        return cls("\n".join([f"table '{table}': {problem}", *(f"  {detail}" for detail in details), f"  {todo}"]))

    @classmethod
    def columns_changed(cls, table: str, version: int, changed: Sequence[str]) -> Self:
        return cls.of(
            table,
            f"its columns have changed since version {version}: {', '.join(changed)}.",
            todo="Single partitions cannot be replaced then: write the complete table once with the new schema.",
        )

    @classmethod
    def partitions_changed(cls, table: str, present: Sequence[str], declared: Sequence[str]) -> Self:
        return cls.of(
            table,
            f"its files are partitioned by {_columns(present)}, and its schema declares {_columns(declared)}.",
            todo="A write with `replace=` keeps the other files: write the complete table once, without `replace=`.",
        )

    @classmethod
    def rows_outside(cls, table: str, outside: int, rows: int, condition: str) -> Self:
        return cls.of(
            table,
            f"{outside:,} of {rows:,} rows lie outside of what the write replaces.",
            todo=f"Write only rows with {condition}, or widen the condition.",
        )


class BadFrame(PermanentError):
    """What is to be written or computed on is no frame, or holds values that no column can hold."""

    @classmethod
    def of(cls, subject: str, problem: str, todo: str) -> Self:
        return cls(f"{subject}: {problem}.\n  {todo}")


class BadSchema(PermanentError):
    """The schema of a table contradicts itself, or names what Delta or an engine cannot keep."""

    exit_code = 2

    @classmethod
    def of(cls, table: str, problems: Sequence[str]) -> Self:
        lines = [f"table '{table}': no table can have this schema.", *(f"  {problem}" for problem in problems)]
        return cls("\n".join([*lines, "  Correct the TableSchema where it is declared."]))


class UndeclaredTable(PermanentError):
    """A stage reads or writes a table that its `reads` or `writes` does not name."""

    @classmethod
    def of(cls, table: str, *, stage: str, key: str, declared: Sequence[str]) -> Self:
        return cls(
            f"stage '{stage}' {key} the table '{table}' without declaring it.\n"
            f"  Add it in the parameter file: stages.{stage}.{key}: [{', '.join([*declared, table])}]"
        )


class UnknownTable(PermanentError):
    """A table does not exist in this warehouse, or not at this version."""

    exit_code = 2

    @classmethod
    def of(cls, name: str, *, root: str, tables: Sequence[str]) -> Self:
        existing = ", ".join(sorted(tables)) or "no tables yet"
        return cls(
            f"table '{name}' does not exist in {root}.{did_you_mean(name, tables)}\n"
            f"  it holds: {existing}\n"
            "  Run the stage that writes it, or correct the name."
        )

    @classmethod
    def at(cls, name: str, version: int, *, latest: int) -> Self:
        return cls(
            f"table '{name}' has no version {version}; its versions are 0 to {latest}.\n"
            "  A version older than these may have been vacuumed: run the stage that writes it again."
        )


class UnreadableTable(PermanentError):
    """A table uses a Delta feature that this engine would read incorrectly."""

    exit_code = 2

    @classmethod
    def of(cls, path: str, *, engine: str, features: Sequence[str], readers: Sequence[str] = ()) -> Self:
        """Args:
        features: those that the engine does not know.
        readers: the engines that know them all.
        """
        others = " or ".join(f"'{reader}'" for reader in readers if reader != engine)
        todo = f"Read it with engine {others}, or have" if others else "No engine here can: have"
        return cls(
            f"{path}: engine '{engine}' cannot read this Delta table rightly: it uses {', '.join(features)}.\n"
            f"  {todo} its owner drop the feature."
        )


class DamagedTable(PermanentError):
    """A table's log cannot be read, or data files that it names are missing."""

    exit_code = 2

    @classmethod
    def of(cls, path: str, files: Sequence[str]) -> Self:
        return cls(
            f"{path}: the table has lost {len(files)} of its data files, for example {files[0]}.\n"
            "  They were deleted, or vacuumed with too short a retention: run the stage that writes the table again."
        )

    @classmethod
    def log(cls, path: str, name: str, version: int | None, reason: str) -> Self:
        at = "" if version is None else f" at version {version}"
        return cls(
            f"{path}: the table's log cannot be read{at}: {reason}\n"
            f"  Go back to a version that can be: stagebook tables history {name}; "
            f"stagebook tables restore {name} --version N."
        )

    @classmethod
    def commit(cls, path: str, name: str, version: int, reason: str) -> Self:
        back = f"stagebook tables restore {name} --version {version - 1}" if version else "Remove the table's folder"
        return cls(
            f"{path}: version {version} was committed, and the table cannot be opened at it: {reason}\n"
            f"  Go back to the version before it: {back}."
        )


class ReadOnlyTable(PermanentError):
    """A write to an external table, which the parameter file only registers by its path."""

    @classmethod
    def of(cls, name: str, path: str) -> Self:
        return cls(
            f"table '{name}' is external ({path}): it is read, never written or vacuumed.\n"
            "  Its owner does that; write to a table of another name."
        )


class ScrapRefused(PermanentError):
    """A value cannot be a scrap (too large, not finite, not JSON)."""

    @classmethod
    def of(cls, name: str, reason: str) -> Self:
        return cls(
            f"the scrap '{name}' {reason}.\n"
            "  Scraps are numbers, text, booleans and small JSON; data goes into a table."
        )


class MissingFile(PermanentError):
    """A reference names a file that is not on the volume."""

    @classmethod
    def of(cls, reference: str, where: str) -> Self:
        return cls(f"there is no file '{reference}' ({where}).\n  Run the stage that saves it, and pass its scrap on.")


class UnsafeInjection(PermanentError):
    """An injected parameters cell contains more than plain values."""


class CheckFailed(PermanentError):
    """A check that the notebook makes of its data failed."""


class RegistryError(StagebookError):
    """The model registry has no such model, version or alias, or cannot be reached."""


class RunHeld(StagebookError):
    """Another process holds this run."""

    exit_code = 75

    @classmethod
    def of(cls, run_id: str, owner: str) -> Self:
        return cls(
            f"run '{run_id}' is held by another process ({owner}).\n"
            "  Wait for it, or start a run of your own with another --run-id."
        )


class DamagedRun(StagebookError):
    """A file of a run's record cannot be read, or is not what was written. Other runs do not need it."""

    exit_code = 2

    @classmethod
    def of(cls, path: Path, problem: str, *, line: int | None = None) -> Self:
        run_id, place = path.parent.name, f"{path}:{line}" if line else str(path)
        return cls(
            f"{place}: this {'line' if line else 'file'} of run '{run_id}' cannot be used: {problem}.\n"
            f"  `stagebook runs repair {run_id}` keeps a copy and rebuilds what can be rebuilt."
        )

    @property
    def brief(self) -> str:
        """File, line and problem, in one line."""
        return str(self).partition("\n")[0]

    @property
    def problem(self) -> str:
        """What is wrong, without the place."""
        return self.brief.partition(" cannot be used: ")[2].removesuffix(".")


_FULL = {
    errno.ENOSPC: "Free space there, or move the folder to another disk (--runs-dir, --warehouse)",
    errno.EDQUOT: "Raise the quota or free space there, or use another folder (--runs-dir, --warehouse)",
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f`)",
}


class Unwritable(StagebookError):
    """A file that must be written cannot be: full disk, quota, read-only folder."""

    @classmethod
    def of(cls, path: Path, fault: OSError) -> Self:
        todo = _FULL.get(fault.errno or 0, "Make the folder writable, or use another one (--runs-dir, --warehouse)")
        return cls(f"{path}: cannot be written ({fault.strerror or fault}).\n  {todo}, and start again.")

    @staticmethod
    def is_why(fault: OSError) -> bool:
        """Whether a file could not be written for want of space or permission."""
        return fault.errno in {*_FULL, errno.EACCES, errno.EPERM, errno.EROFS}


class UnwritableRuns(Unwritable):
    """The folder of a run cannot be made or held; nothing was started."""

    exit_code = 2


class UnwritableTable(PermanentError):
    """A table uses a Delta feature that a write by this engine would damage."""

    @classmethod
    def of(cls, path: str, *, engine: str, features: Sequence[str]) -> Self:
        return cls(
            f"{path}: engine '{engine}' must not write this Delta table: it uses {', '.join(features)}.\n"
            "  Write it with the engine that owns it, or write to another table name."
        )

    @classmethod
    def because(cls, path: str, engine: str, reason: str) -> Self:
        return cls(
            f"{path}: engine '{engine}' cannot write this Delta table: {reason}\n"
            "  Write it with another engine, or write to another table name."
        )


class UnknownColumn(PermanentError):
    """A read names a column that the table does not have."""

    exit_code = 2

    @classmethod
    def of(cls, column: str, *, columns: Sequence[str]) -> Self:
        hint = did_you_mean(column, columns)
        return cls(f"there is no column '{column}'.{hint}\n  the table has: {', '.join(columns)}")

    @classmethod
    def list_of(cls, names: Sequence[str], *, columns: Sequence[str]) -> Self:
        problem = "names a column twice" if names else "is empty"
        return cls(
            f"`columns` {problem}: {list(names)}.\n"
            f"  Give each column once, or leave `columns` out to read all; the table has: {', '.join(columns)}"
        )


class BadPredicate(PermanentError):
    """A condition on a table is not valid: wrong operator, or a value of the wrong type."""

    exit_code = 2

    @classmethod
    def of(cls, column: str, op: object, value: object, reason: str) -> Self:
        return cls(f"condition ({column!r}, {op!r}, {value!r}): {reason}")

    @classmethod
    def malformed(cls, condition: object) -> Self:
        return cls(
            f"{condition!r} is no condition.\n"
            '  Give a list of conditions, each a column, an operator and a value: [("month", "=", 12)].'
        )


class WriteConflict(StagebookError):
    """Another writer committed to the table first; the write can be repeated from the new version."""

    @classmethod
    def of(cls, path: str, *, version: int | None, winner: str | None) -> Self:
        writer = f"run '{winner}'" if winner else "a writer without a run id"
        return cls(
            f"{path}: {writer} committed version {version} while this write was under way; nothing of it was written.\n"
            "  Run the stage again; it then starts from that version."
        )


class PartitionsMoved(StagebookError):
    """Another run replaced partitions of a table after they were compared, and from other inputs."""

    @classmethod
    def of(cls, table: str, partitions: Sequence[object]) -> Self:
        return cls(
            f"table '{table}': another run has written {', '.join(map(str, partitions))} from other inputs since the "
            "partitions were compared; nothing was written.\n"
            "  Run the stage again: it compares them again."
        )


class OverBudget(StagebookError):
    """The run is expected to cost more than the budget allows; nothing was started."""

    exit_code = 3

    @classmethod
    def of(cls, reason: str) -> Self:
        return cls(
            f"over budget, nothing was started: {reason}.\n"
            "  `--dry-run` shows the stages' costs. Raise --max-cost or the key in `budget`, run a part\n"
            "  (--only, --to), or choose cheaper profiles."
        )


class JavaMissing(ConfigError):
    """The engine is Spark, and there is no Java that it runs on."""

    @classmethod
    def of(cls, problem: str) -> Self:
        return cls(
            f"the engine 'spark' needs Java 17 or 21, and {problem}.\n"
            "  Install it (Debian, Ubuntu: `apt-get install openjdk-17-jre-headless`; macOS: `brew install\n"
            "  openjdk@17`; the conda environment has it), or set JAVA_HOME, or use `--engine pandas`, without Java."
        )


class SparkUnavailable(StagebookError):
    """The Spark server does not start, or no longer answers."""

    @classmethod
    def of(cls, server: str, reason: str, *, log: str | None = None) -> Self:
        where = f"\n  its log: {log}" if log else ""
        return cls(
            f"{server}: {reason}.{where}\n  `stagebook spark stop` ends all servers; the next stage starts a new one."
        )


class TooLarge(PermanentError):
    """A result has more rows than fit into this process."""

    @classmethod
    def of(cls, rows: int, size_bytes: int, *, limit: str) -> Self:
        return cls(
            f"{rows:,} rows of about {size_bytes / 1e9:,.1f} GB would become a pandas frame; the limit is {limit}.\n"
            "  Read fewer columns or rows (`columns=`, `where=`), aggregate or sample first, or give a larger `limit=`."
        )


class TrackingUnavailable(StagebookError):
    """The tracking server does not answer; the run's record is kept and can be sent later."""

    @classmethod
    def of(cls, uri: str, reason: str) -> Self:
        return cls(
            f"tracking server {uri} does not answer ({reason}).\n"
            "  Nothing is lost: the record of the run is kept and sent with the next call."
        )


class BadGateRule(PermanentError):
    """A rule of the validation gate is not valid."""

    @classmethod
    def of(cls, rule: object, reason: str, *, name: str = "", allowed: Sequence[str] = ()) -> Self:
        hint = f"{did_you_mean(name, allowed)}\n  allowed: {', '.join(allowed)}" if allowed else ""
        return cls(f"gate rule {rule}: {reason}.{hint}")


class TrackingRefused(TrackingUnavailable):
    """The tracking server answers, but rejects the data; waiting does not help."""

    @classmethod
    def of(cls, uri: str, reason: str) -> Self:
        return cls(f"tracking server {uri} refuses: {reason}\n  The record of the run is kept, and can be sent again.")
