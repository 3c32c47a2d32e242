"""Gathers the facts for an engine choice just before a stage: this machine, its calibration, and the input sizes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stagebook.engines.calibration import Calibration, load_calibration
from stagebook.engines.choice import EngineChoice, Machine, TableInputSize, choose_engine
from stagebook.model.pipeline import SparkSettings, Stage
from stagebook.model.tables import Predicates, TableSize
from stagebook.user_state import state_folder

CALIBRATION = "calibration.json"


class TableSizes(Protocol):
    """The sizes of tables, from the Delta log alone."""

    def size(
        self, name: str, version: int, *, columns: tuple[str, ...] | None = None, where: Predicates = ()
    ) -> TableSize:
        """The size of a read of a version."""
        ...


@dataclass(frozen=True)
class MachineFacts:
    """This machine at one moment, and its calibration."""

    machine: Machine
    calibration: Calibration


def machine_facts(spark: SparkSettings) -> MachineFacts:
    """The current state of this machine, and its calibration.

    Raises:
        ConfigError: the calibration file is not valid.
    """
    return MachineFacts(current_machine(spark), load_calibration(calibration_file()))


def engine_for_stage(stage: Stage, versions: dict[str, int], tables: TableSizes, facts: MachineFacts) -> EngineChoice:
    """The engine for a stage, from the sizes of its input tables and the machine that it would run on.

    Args:
        versions: the pinned version of each input table.

    Raises:
        UnknownColumn, BadPredicate: the columns or conditions that the stage declares do not fit a table.
    """
    inputs = [_input_size(stage, name, version, tables) for name, version in sorted(versions.items())]
    return choose_engine(stage.work, inputs, facts.machine, facts.calibration)


def calibration_file() -> Path:
    """The file with this machine's own calibration; it may not exist."""
    return state_folder() / CALIBRATION


def current_machine(spark: SparkSettings) -> Machine:
    """Memory, cores, and where Spark would compute."""
    import os

    from stagebook.machine import memory
    from stagebook.spark.launch import driver_memory_bytes

    available = memory()
    spark_state = _spark_state(spark)
    heap = 0 if spark_state in ("warm", "cluster") else driver_memory_bytes(spark)
    return Machine(available.total, available.free, os.cpu_count() or 1, spark_state, heap)


def _spark_state(spark: SparkSettings) -> str:
    from stagebook.errors import JavaMissing
    from stagebook.spark import java, server

    if spark.remote is not None and not spark.needs_server:
        return "cluster"
    try:
        java.home()
    except JavaMissing:
        return ""
    if spark.remote is not None:
        return "cluster"
    return "warm" if server.running(spark) else "cold"


def _input_size(stage: Stage, name: str, version: int, tables: TableSizes) -> TableInputSize:
    table_read = stage.table_reads.get(name)
    columns, where = (table_read.columns, table_read.where) if table_read else (None, ())
    size = tables.size(name, version, columns=columns, where=where)
    rows = size.estimated_rows if size.estimated_rows is not None else size.rows or 0
    return TableInputSize(name, rows, rows * size.row_bytes, size.column_bytes)
