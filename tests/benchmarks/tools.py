"""The six shipped notebooks in several tools: from nothing, nothing changed, one parameter of `train` changed.

The others execute the notebooks as a person would in JupyterLab, without tracking, checks, record and report. Each is
installed by uv in an environment of its own; the notebooks run in this one.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import jupytext
import psutil
import rivals
from side_by_side import Line, lines

ROOT = Path(__file__).resolve().parents[2]
SCRIPT, LOOP = "plain script", "papermill, one after another"
WITHOUT_REUSE = (SCRIPT, LOOP)
Start = Callable[[Path], list[str]]


@dataclass(frozen=True)
class Cost:
    """Wall seconds, CPU seconds and bytes at the peak: of the whole machine, since kernels are nobody's children."""

    wall: float
    cpu: float
    peak_bytes: int


@dataclass(frozen=True)
class Costs:
    """What each variant took, in rounds."""

    case: str
    by_variant: dict[str, list[Cost]] = field(default_factory=dict)

    def add(self, variant: str, cost: Cost) -> None:
        self.by_variant.setdefault(variant, []).append(cost)

    def lines(self) -> list[Line]:
        wall = {variant: median(cost.wall for cost in costs) for variant, costs in self.by_variant.items()}
        cpu = {variant: median(cost.cpu for cost in costs) for variant, costs in self.by_variant.items()}
        first = next(iter(cpu.values()))
        details = {
            variant: {
                "cpu_s": round(cpu[variant], 1),
                "cpu_ratio": round(cpu[variant] / first, 2),
                "peak_mb": max(cost.peak_bytes for cost in costs) // 1_000_000,
            }
            for variant, costs in self.by_variant.items()
        }
        return lines("tools", self.case, wall, details)


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Medians of some rounds in turns; ratios are to the first variant of each case."""
    all_stages, unchanged, one_changed = (
        Costs(case) for case in ("all stages", "nothing changed", "one parameter changed")
    )
    with tempfile.TemporaryDirectory(prefix="stagebook-tools-") as name:
        for tool in rivals.TOOLS:
            rivals.install(tool, Path(name) / tool.partition("==")[0])
        for number in range(1 if quick else 3):
            for variant, start in _variants(Path(name)).items():
                project = _project(Path(name) / f"{number}-{variant.replace(' ', '-')}")
                command = start(project)
                all_stages.add(variant, _cost(project, command))
                if variant not in WITHOUT_REUSE:
                    unchanged.add(variant, _cost(project, command))
                    _change(project)
                    one_changed.add(variant, _cost(project, command))
        for costs in (all_stages, unchanged, one_changed):
            yield from costs.lines()


def _variants(tools: Path) -> dict[str, Start]:
    return {
        SCRIPT: rivals.script,
        "stagebook, no fork server yet": rivals.stagebook_without_fork_server,
        "stagebook, fork server runs": rivals.stagebook,
        LOOP: rivals.papermill,
        "ploomber": lambda project: rivals.ploomber(project, tools / "ploomber/bin/ploomber"),
        "dvc": lambda project: rivals.dvc(project, tools / "dvc/bin/dvc"),
        "snakemake": lambda project: rivals.snakemake(project, tools / "snakemake/bin/snakemake"),
        "calkit": lambda project: rivals.calkit(project, tools / "calkit-python/bin/calkit"),
    }


def _project(folder: Path) -> Path:
    """The notebooks and their parameters; what `validate` would hand on to `register_model` is written into it."""
    shutil.copytree(ROOT / "params", folder / "params")
    (folder / "notebooks").mkdir()
    for stage in rivals.STAGES:
        text = (ROOT / "notebooks" / f"{stage}.py").read_text(encoding="utf-8")
        passed = text.replace("gate_passed: bool = False", "gate_passed: bool = True")
        (folder / "notebooks" / f"{stage}.py").write_text(passed, encoding="utf-8")
        jupytext.write(jupytext.reads(passed, fmt="py:percent"), folder / "notebooks" / f"{stage}.ipynb")
    return folder


def _change(project: Path) -> None:
    """Another default of a parameter, in both files of the notebook: one with which the gate still passes."""
    for path in (project / "notebooks").glob("03_train.*"):
        text = path.read_text(encoding="utf-8")
        changed = text.replace("max_iter: int = 50", "max_iter: int = 60")
        assert changed != text, path
        path.write_text(changed, encoding="utf-8")


def _cost(project: Path, command: list[str]) -> Cost:
    started, ended, peaks = psutil.virtual_memory().available, threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.1):
            peaks.append(started - psutil.virtual_memory().available)

    watching = threading.Thread(target=watch)
    watching.start()
    cpu, wall = _busy(), time.perf_counter()
    process = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    wall, cpu = time.perf_counter() - wall, _busy() - cpu
    ended.set()
    watching.join()
    if process.returncode:
        raise RuntimeError(f"{command}: {process.stdout[-2000:]}{process.stderr[-2000:]}")
    return Cost(wall, cpu, max(peaks))


def _busy() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system
