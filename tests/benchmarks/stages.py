"""What stages cost that do nothing: runs and plans of many, and two that wait side by side."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from side_by_side import Line, compare, lines

ROOT = Path(__file__).resolve().parents[2]
EMPTY = "# %%\nx = 1\n"
WAIT_S = 10


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Wall seconds of the command, Python's start included; `a_stage_s` is what each further stage takes."""
    with tempfile.TemporaryDirectory(prefix="stagebook-stages-") as name:
        yield from _chains(Path(name), (1, 10) if quick else (1, 10, 100, 1000))
        yield from _branches(Path(name), seconds=2 if quick else WAIT_S)


def _chains(folder: Path, counts: Sequence[int]) -> Iterator[Line]:
    seconds: dict[str, float] = {}
    for count in counts:
        project = _project(folder / str(count), {f"s{number}": EMPTY for number in range(count)})
        seconds = {
            "plan": _seconds(project, "--dry-run"),
            "run": _seconds(project),
            "again, nothing changed": _seconds(project),
            "plan, nothing changed": _seconds(project, "--dry-run"),
        }
        details = {"run": {"a_stage_s": round(seconds["run"] / count, 3)}}
        yield from lines("stages", f"{count} empty stages in a chain", seconds, details)


def _branches(folder: Path, seconds: int) -> list[Line]:
    waiting = f"# %%\nimport time\ntime.sleep({seconds})\n"
    project = _project(folder / "branches", {"left": waiting, "right": waiting}, chain=False)
    variants = {f"-j {jobs}": lambda jobs=jobs: _seconds(project, "--no-reuse", "-j", str(jobs)) for jobs in (2, 1)}
    return compare("stages", f"two branches that wait {seconds} s", variants, rounds=1)


def _project(folder: Path, notebooks: dict[str, str], *, chain: bool = True) -> Path:
    """A project whose stages are these notebooks, each after the one before where they are a chain."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "params").mkdir()
    stages, previous = {}, None
    for name, source in notebooks.items():
        (folder / "notebooks" / f"{name}.py").write_text(source, encoding="utf-8")
        stages[name] = {"notebook": f"notebooks/{name}.py", "depends_on": [previous] if chain and previous else []}
        previous = name
    content = {"pipeline": "empty", "tables": {"engine": "pandas"}, "stages": stages}
    (folder / "params" / "dev.yaml").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder


def _seconds(project: Path, *words: str) -> float:
    command = [sys.executable, "-m", "stagebook.cli", "run", "--params", "dev.yaml", *words]
    started = time.perf_counter()
    process = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    return time.perf_counter() - started
