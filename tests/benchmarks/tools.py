"""The six shipped notebooks in several tools: from nothing, and once more when nothing has changed.

The others execute the notebooks as a person would in JupyterLab, without tracking, checks, record and report. They
are installed by uv in an environment of their own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import jupytext
import nbformat
import psutil
from side_by_side import Line, lines

from stagebook.execute.host import client

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("snakemake==9.23.1", "dvc==3.67.1")
BIN = Path(sys.executable).parent
STAGES = ("01_data_prep", "02_feature_build", "03_train", "04_validate", "05_register_model", "06_deploy")


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and CPU seconds of the whole machine: kernels are nobody's waited-for children."""

    wall: float
    cpu: float


def run(folder: Path, *, quick: bool) -> Iterator[Line]:
    """Medians of some rounds in turns; ratios are to the plain script."""
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory(prefix="stagebook-tools-") as name:
        tools = _installed(Path(name) / "tools")
        cold: dict[str, list[Cost]] = {}
        again: dict[str, list[Cost]] = {}
        for number in range(rounds):
            for variant, start in _variants(tools).items():
                project = _project(Path(name) / f"{number}-{variant.replace(' ', '-')}")
                command = start(project)
                cold.setdefault(variant, []).append(_cost(project, command))
                if variant not in ("plain script", "papermill, one after another"):
                    again.setdefault(variant, []).append(_cost(project, command))
        yield from _lines("all stages", cold)
        yield from _lines("nothing changed", again)


def _lines(case: str, found: dict[str, list[Cost]]) -> list[Line]:
    wall = {variant: median(cost.wall for cost in costs) for variant, costs in found.items()}
    cpu = {variant: median(cost.cpu for cost in costs) for variant, costs in found.items()}
    first = next(iter(cpu.values()))
    told = {variant: {"cpu_s": round(value, 1), "cpu_ratio": round(value / first, 2)} for variant, value in cpu.items()}
    return lines("tools", case, wall, told)


Start = Callable[[Path], list[str]]


def _variants(tools: Path) -> dict[str, Start]:
    return {
        "plain script": _script,
        "stagebook, cold": _stagebook_cold,
        "stagebook, host is there": _stagebook,
        "papermill, one after another": _papermill,
        "snakemake": lambda project: _snakemake(project, tools),
        "dvc": lambda project: _dvc(project, tools),
    }


def _script(project: Path) -> list[str]:
    """All code cells in one process, each notebook in a namespace of its own."""
    code = ["def run(source):", "    exec(source, {'__name__': '__main__'})", ""]
    for stage in STAGES:
        node = nbformat.read(project / "notebooks" / f"{stage}.ipynb", as_version=4)
        sources = [cell.source for cell in node.cells if cell.cell_type == "code"]
        notebook = "\n\n".join(sources)
        code.append(f"run({notebook!r})")
    (project / "script.py").write_text("\n".join(code) + "\n", encoding="utf-8")
    return [sys.executable, "script.py"]


def _stagebook(project: Path) -> list[str]:
    return [sys.executable, "-m", "stagebook.cli", "run", "--params", "dev.yaml"]


def _stagebook_cold(project: Path) -> list[str]:
    client.stop()
    return _stagebook(project)


def _papermill(project: Path) -> list[str]:
    loop = "\n".join(_execute(stage) for stage in STAGES)
    (project / "loop.sh").write_text(f"set -e\nmkdir -p out\n{loop}\n", encoding="utf-8")
    return ["sh", "loop.sh"]


def _execute(stage: str) -> str:
    return f"{BIN}/papermill --no-progress-bar notebooks/{stage}.ipynb out/{stage}.ipynb"


def _snakemake(project: Path, tools: Path) -> list[str]:
    rules = [f"rule all:\n    input: 'out/{STAGES[-1]}.ipynb'\n"]
    for stage, before in zip(STAGES, (None, *STAGES[:-1]), strict=True):
        inputs = [f"notebooks/{stage}.ipynb", *([f"out/{before}.ipynb"] if before else [])]
        rules.append(
            f"rule s{stage}:\n    input: {inputs!r}\n    output: 'out/{stage}.ipynb'\n    shell: '{_execute(stage)}'\n"
        )
    (project / "Snakefile").write_text("\n".join(rules), encoding="utf-8")
    return [str(tools / "bin/snakemake"), "--cores", "2", "--quiet"]


def _dvc(project: Path, tools: Path) -> list[str]:
    stages = {}
    for stage, before in zip(STAGES, (None, *STAGES[:-1]), strict=True):
        inputs = [f"notebooks/{stage}.ipynb", *([f"out/{before}.ipynb"] if before else [])]
        stages[f"s{stage}"] = {"cmd": _execute(stage), "deps": inputs, "outs": [f"out/{stage}.ipynb"]}
    (project / "out").mkdir()
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    subprocess.run([tools / "bin/dvc", "init", "--no-scm", "--quiet"], cwd=project, check=True)
    return [str(tools / "bin/dvc"), "repro", "--quiet"]


def _installed(folder: Path) -> Path:
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("this benchmark installs other tools by uv, which is not on the path")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", folder / "bin/python", *TOOLS], check=True)
    return folder


def _project(folder: Path) -> Path:
    """The notebooks and their parameters; what `validate` would hand on to `register_model` is written into it."""
    shutil.copytree(ROOT / "params", folder / "params")
    (folder / "notebooks").mkdir()
    for stage in STAGES:
        text = (ROOT / "notebooks" / f"{stage}.py").read_text(encoding="utf-8")
        passed = text.replace("gate_passed: bool = False", "gate_passed: bool = True")
        (folder / "notebooks" / f"{stage}.py").write_text(passed, encoding="utf-8")
        jupytext.write(jupytext.reads(passed, fmt="py:percent"), folder / "notebooks" / f"{stage}.ipynb")
    return folder


def _cost(project: Path, command: list[str]) -> Cost:
    cpu, wall = _busy(), time.perf_counter()
    ended = subprocess.run(command, cwd=project, env=dict(os.environ), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return Cost(time.perf_counter() - wall, _busy() - cpu)


def _busy() -> float:
    times = psutil.cpu_times()
    return times.user + times.nice + times.system
