"""The engine of a stage that leaves it to the kit: what the decision needs to know, gathered just before."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stagebook.choice.calibration import Calibration, of_machine
from stagebook.choice.decide import Choice, Input, Machine, choose
from stagebook.model.pipeline import SparkSettings, Stage
from stagebook.model.tables import Predicates, TableSize
from stagebook.storage.machine import state_folder

CALIBRATION = "calibration.json"


class TableSizes(Protocol):
    """What is asked of tables: never data, only what the Delta log says."""

    def size(
        self, name: str, version: int, *, columns: tuple[str, ...] | None = None, where: Predicates = ()
    ) -> TableSize:
        """What a read would touch."""
        ...


@dataclass(frozen=True)
class Here:
    """This machine as of one moment, and how fast it was measured to be."""

    machine: Machine
    calibration: Calibration


def here(spark: SparkSettings) -> Here:
    """The machine as it is now."""
    return Here(machine(spark), of_machine(calibration_file()))


def chosen(stage: Stage, pins: dict[str, int], tables: TableSizes, on: Here) -> Choice:
    """The engine for a stage, from the sizes of its pinned inputs and the machine that it would run on.

    Raises:
        UnknownColumn, BadPredicate: what the stage declares to need of a table does not fit it.
    """
    inputs = [_input(stage, name, version, tables) for name, version in sorted(pins.items())]
    return choose(stage.work, inputs, on.machine, on.calibration)


def calibration_file() -> Path:
    """Where this machine's own calibration is kept."""
    return state_folder() / CALIBRATION


def machine(spark: SparkSettings) -> Machine:
    """Memory, cores, and where Spark would compute."""
    import os

    from stagebook.engines.memory import memory
    from stagebook.engines.spark.launch import driver_memory_bytes

    found = memory()
    state = _spark(spark)
    heap = 0 if state in ("warm", "cluster") else driver_memory_bytes(spark)
    return Machine(found.total, found.free, os.cpu_count() or 1, state, heap)


def _spark(spark: SparkSettings) -> str:
    from stagebook.engines.spark import java, server
    from stagebook.errors import JavaMissing

    if spark.remote is not None and not spark.needs_server:
        return "cluster"
    try:
        java.home()
    except JavaMissing:
        return ""
    if spark.remote is not None:
        return "cluster"
    return "warm" if server.running(spark) else "cold"


def _input(stage: Stage, name: str, version: int, tables: TableSizes) -> Input:
    narrowed = stage.narrowed.get(name)
    columns, where = (narrowed.columns, narrowed.where) if narrowed else (None, ())
    size = tables.size(name, version, columns=columns, where=where)
    rows = size.estimated_rows if size.estimated_rows is not None else size.rows or 0
    return Input(name, rows, rows * size.row_bytes, size.column_bytes)
