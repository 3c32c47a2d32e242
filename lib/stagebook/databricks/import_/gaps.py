"""What a job does not say, and a run on this machine needs; and what it says, and a run here does not heed."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from stagebook.config.structure import NAME
from stagebook.databricks.import_.stages import JobTasks
from stagebook.databricks.validate.subject import dependencies
from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.outline import Outline

_READS, _WRITES = ("read",), ("write", "build_partitions", "commit")


def branches(tasks: JobTasks, stages: Mapping[str, Any]) -> Iterator[str]:
    """A line for each stage behind the outcome of a condition that `only_if` cannot express: it runs in any case."""
    for key in stages:
        if tasks.condition(key) is not None:
            continue
        for name, outcome in _outcomes(tasks, key, frozenset()):
            yield (
                f"stage {key} runs on Databricks only if the condition '{name}' is {outcome}; here it runs in any case,"
                " and so does the other branch: remove the stages that you do not want here, or give them `only_if`"
            )


def _outcomes(tasks: JobTasks, key: str, visited: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The conditions with their outcomes upstream of a task, up to the next stages."""
    for up in dependencies(tasks.by_key.get(key, {})):
        name = up["task_key"]
        if up.get("outcome") is not None:
            yield name, str(up["outcome"])
        if name in tasks.by_key and name not in visited and not tasks.is_stage(name):
            yield from _outcomes(tasks, name, visited | {name})


def tables_used(notebook: Outline) -> tuple[list[str], list[str], list[str]]:
    """The tables that a notebook reads and writes by `stage`, and a line for each call whose table is not written out.

    Returns:
        reads, writes, and such calls as `stage.write in code cell 3`.
    """
    reads: list[str] = []
    writes: list[str] = []
    unknown: list[str] = []
    code = [cell for cell in notebook.cells if cell.kind == "code"]
    for number, cell in enumerate(code, 1):
        for call in _calls(cell.source):
            assert isinstance(call.func, ast.Attribute)
            method, name = call.func.attr, _table(call)
            if name is None:
                unknown.append(f"stage.{method} in code cell {number}")
            elif method in _READS:
                reads.append(name)
            else:
                writes.append(name)
    return list(dict.fromkeys(reads)), list(dict.fromkeys(writes)), list(dict.fromkeys(unknown))


def _calls(source: str) -> Iterator[ast.Call]:
    try:
        tree = ast.parse(without_magics(source))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="stage"), attr=name)) if name in _READS + _WRITES:
                yield node


def _table(call: ast.Call) -> str | None:
    """The table's name, if the call has it as a text that names a table."""
    texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    return texts[0] if texts and NAME.fullmatch(texts[0]) else None
