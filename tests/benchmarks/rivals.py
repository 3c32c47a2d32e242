"""How each tool executes the notebooks of a folder, one after another; each gives the command to run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from stagebook.executor.kernels import fork_server

TOOLS = ("ploomber==0.23.3", "dvc==3.67.1", "snakemake==9.27.1", "calkit-python==0.49.5")
KERNEL = "this-environment"
BIN = Path(sys.executable).parent
STAGES = ("01_data_prep", "02_feature_build", "03_train", "04_validate", "05_register_model", "06_deploy")


def script(project: Path) -> list[str]:
    """All code cells in one process, each notebook in a namespace of its own."""
    code = ["def run(source):", "    exec(source, {'__name__': '__main__'})", ""]
    for stage in STAGES:
        node = nbformat.read(project / "notebooks" / f"{stage}.ipynb", as_version=4)
        sources = [cell.source for cell in node.cells if cell.cell_type == "code"]
        notebook = "\n\n".join(sources)
        code.append(f"run({notebook!r})")
    (project / "script.py").write_text("\n".join(code) + "\n", encoding="utf-8")
    return [sys.executable, "script.py"]


def stagebook(project: Path) -> list[str]:
    return [sys.executable, "-m", "stagebook.cli", "run", "--params", "dev.yaml"]


def stagebook_without_fork_server(project: Path) -> list[str]:
    fork_server.stop()
    return stagebook(project)


def papermill(project: Path) -> list[str]:
    loop = "\n".join(_execute(stage) for stage in STAGES)
    (project / "loop.sh").write_text(f"set -e\nmkdir -p out\n{loop}\n", encoding="utf-8")
    return ["sh", "loop.sh"]


def _execute(stage: str) -> str:
    return f"{BIN}/papermill --no-progress-bar notebooks/{stage}.ipynb out/{stage}.ipynb"


def _with_upstream() -> Iterator[tuple[str, str | None]]:
    """Each stage, and the one before it."""
    yield from zip(STAGES, (None, *STAGES[:-1]), strict=True)


def snakemake(project: Path, tool: Path) -> list[str]:
    rules = [f"rule all:\n    input: 'out/{STAGES[-1]}.ipynb'\n"]
    for stage, upstream in _with_upstream():
        inputs = [f"notebooks/{stage}.ipynb", *([f"out/{upstream}.ipynb"] if upstream else [])]
        rules.append(
            f"rule s{stage}:\n    input: {inputs!r}\n    output: 'out/{stage}.ipynb'\n    shell: '{_execute(stage)}'\n"
        )
    (project / "Snakefile").write_text("\n".join(rules), encoding="utf-8")
    return [str(tool), "--cores", "2", "--quiet"]


def dvc(project: Path, tool: Path) -> list[str]:
    stages = {}
    for stage, upstream in _with_upstream():
        inputs = [f"notebooks/{stage}.ipynb", *([f"out/{upstream}.ipynb"] if upstream else [])]
        stages[f"s{stage}"] = {"cmd": _execute(stage), "deps": inputs, "outs": [f"out/{stage}.ipynb"]}
    (project / "out").mkdir()
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    subprocess.run([tool, "init", "--no-scm", "--quiet"], cwd=project, check=True)
    return [str(tool), "repro", "--quiet"]


def ploomber(project: Path, tool: Path) -> list[str]:
    """It injects `upstream` and `product`, which the cell of parameters has to name."""
    tasks = []
    for stage, upstream in _with_upstream():
        path = project / "notebooks" / f"{stage}.ipynb"
        node = nbformat.read(path, as_version=4)
        cell = next(cell for cell in node.cells if "parameters" in cell.metadata.get("tags", ()))
        cell.source += f"\nupstream = {[upstream] if upstream else None!r}\nproduct = None"
        nbformat.write(node, path)
        product = {"nb": f"out/{stage}.ipynb"}
        source = f"notebooks/{stage}.ipynb"
        tasks.append({"source": source, "name": stage, "product": product, "kernelspec_name": KERNEL})
    (project / "pipeline.yaml").write_text(json.dumps({"tasks": tasks}), encoding="utf-8")
    kernel = project / "jupyter/kernels" / KERNEL
    kernel.mkdir(parents=True)
    words = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": words, "language": "python", "display_name": KERNEL}))
    return ["env", f"JUPYTER_PATH={project / 'jupyter'}", str(tool), "build"]


def calkit(project: Path, tool: Path) -> list[str]:
    """It keeps its pipeline in git and DVC, and makes a kernel of this environment by uv."""
    stages: dict[str, dict[str, object]] = {}
    for stage, upstream in _with_upstream():
        stages[f"s{stage}"] = {
            "kind": "jupyter-notebook",
            "environment": KERNEL,
            "notebook_path": f"notebooks/{stage}.ipynb",
            "html_storage": None,
            "inputs": [{"from_stage_outputs": f"s{upstream}"}] if upstream else [],
        }
    environment = {"kind": "uv-venv", "path": "requirements.txt", "prefix": sys.prefix}
    content = {"environments": {KERNEL: environment}, "pipeline": {"stages": stages}}
    (project / "calkit.yaml").write_text(json.dumps(content), encoding="utf-8")
    (project / "requirements.txt").write_text("ipykernel\n", encoding="utf-8")
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com"]
    for words in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "-m", "The notebooks"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    path = f"PATH={tool.parent}:{os.environ['PATH']}"  # its stages call it by name
    return ["env", path, f"JUPYTER_DATA_DIR={project / 'jupyter'}", str(tool), "run", "--quiet"]


def install(tool: str, folder: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("this benchmark installs other tools by uv, which is not on the path")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", folder / "bin/python", tool]
    subprocess.run(install, check=True, cwd=folder)  # not here, where this project's pins hold
