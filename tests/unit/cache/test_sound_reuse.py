"""Random edits, held against the truth: no result is ever taken that a run of everything would not give.

Notebooks run in IPython in this process, without kernels, so that an edit takes a tenth of a second; all that decides
is real.
"""

import contextlib
import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from stagebook.cache.lookup import ResultCache
from stagebook.cache.sources.store import SourceCache
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.config.request import RunRequest
from stagebook.executor import attempts
from stagebook.executor.job import Outcome
from stagebook.executor.kernels import access_report
from stagebook.executor.kernels.access_report import AccessReport
from stagebook.executor.pools import Pools
from stagebook.executor.run_all import run_all
from stagebook.executor.run_context import Limits, RunContext
from stagebook.model.context import VARIABLE
from stagebook.model.record import AttemptStatus
from stagebook.notebooks.outline import outline
from stagebook.planner import decide
from stagebook.runs.folders import PipelineHistory, RunFolder
from stagebook.runs.recorder import RunRecorder

PARAMS = """\
pipeline: p
tables: {{engine: pandas}}
stages:
  load: {{notebook: notebooks/load.py, reads: [raw], parameters: {{scale: {scale}}}}}
  left: {{notebook: notebooks/left.py, depends_on: [load], parameters: {{loaded: "{{{{tasks.load.values.loaded}}}}"}}}}
  right: {{notebook: notebooks/right.py, depends_on: [load], parameters: {{loaded: "{{{{tasks.load.values.loaded}}}}"}}}}
  both:
    notebook: notebooks/both.py
    depends_on: [left, right]
    parameters: {{a: "{{{{tasks.left.values.left}}}}", b: "{{{{tasks.right.values.right}}}}", shift: {shift}}}
"""
NOTEBOOKS = {
    "load": ("scale: int = 1", "import os\nfrom own import shared\nday = 'b'",
             "loaded = scale * table('raw') + shared.base() + int(open('parts/' + day + '.txt').read())\n"
             "glue('loaded', loaded + len(os.listdir('parts')) + {number})"),
    "left": ("loaded: int = 0", "%run helper.py\nfrom own.lefty import twice", "glue('left', twice(loaded) + helped + {number})"),
    "right": ("loaded: int = 0", "rate = int(open('rate.txt').read())\nprinted = !python tool.py\nimport os",
              "glue('right', loaded % 7 + rate + int(printed[0]) * int(os.environ['FACTOR']) + {number})"),
    "both": ("a: int = 0\nb: int = 0\nshift: int = 0",
             "import importlib, subprocess\nshared = importlib.import_module('own.shared')\n"
             "shell = int(subprocess.run('cat shell.txt', shell=True, capture_output=True).stdout)",
             "glue('both', a * 10 + b + shift + shared.base() + shell + {number})"),
}  # fmt: skip
FILES = {
    "lib/own/__init__.py": "",
    "lib/own/shared.py": "import json\nfrom pathlib import Path\n\ndef base():\n    return {number}",
    "lib/own/lefty.py": "def twice(x):\n    from own import deep\n    return 2 * x + deep.OFFSET + {number}",
    "lib/own/deep.py": "OFFSET = {number}",
    "lib/own/unused.py": "NOTHING = {number}",
    "notebooks/helper.py": "from own import helped_by\nhelped = helped_by.NUMBER + {number}",
    "lib/own/helped_by.py": "NUMBER = {number}",
    "notebooks/tool.py": "print({number})",
}
DATA = ("rate.txt", "shell.txt", "parts/b.txt")


class Tables:
    """One table of others whose rows are one number; a version is content, whatever its number."""

    def __init__(self):
        self.versions = [1]

    def latest(self, name):
        return len(self.versions) - 1

    def identity(self, name, version):
        return f"rows {self.versions[version]}"

    def refuse_damaged(self, name, version):
        pass

    def is_complete(self, name, version):
        return True


class World:
    """A project on the disk, with what can be changed of it."""

    def __init__(self, root: Path, monkeypatch):
        self.root, self.tables, self.monkeypatch = root, Tables(), monkeypatch
        self.numbers = dict.fromkeys([*NOTEBOOKS, *FILES], 1)
        self.looks = dict.fromkeys(self.numbers, 0)
        self.data = dict.fromkeys(DATA, 5)
        self.scale, self.shift, self.factor = 1, 0, 1
        self.write()

    def write(self) -> None:
        for name, (parameters, first, last) in NOTEBOOKS.items():
            look = self.looks[name]
            cells = [
                f"# %% [markdown]\n# Words {look}",
                f'# %% tags=["parameters"]\n{parameters}  # {look}',
                f"# %%\n{first}",
                f"# %%\n{'# why ' * look}\n{last.format(number=self.numbers[name])}{' ' * look}",
            ]
            self._put(f"notebooks/{name}.py", "\n\n".join(cells) + "\n")
        for name, text in FILES.items():
            self._put(name, f"# {'look ' * self.looks[name]}\n{text.format(number=self.numbers[name])}\n")
        for name, number in self.data.items():
            self._put(f"notebooks/{name}", str(number))
        self._put("params/p.yaml", PARAMS.format(scale=self.scale, shift=self.shift))
        self.monkeypatch.setenv("FACTOR", str(self.factor))

    def _put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, chance: Random) -> str:
        """One random edit, of what matters or of what does not; says which."""
        match chance.randrange(10):
            case 0 | 1:
                name = chance.choice(list(self.numbers))
                self.numbers[name] = chance.randrange(4)
                edited = f"code of {name}"
            case 2 | 3:
                name = chance.choice(list(self.looks))
                self.looks[name] = chance.randrange(5)
                edited = f"looks of {name}"
            case 4:
                self.scale, edited = chance.randrange(1, 4), "scale"
            case 5:
                self.shift, edited = chance.randrange(3), "shift"
            case 6:
                self.tables.versions.append(chance.randrange(3))
                edited = "a commit to raw"
            case 7:
                self.factor, edited = chance.randrange(3), "FACTOR"
            case 8:
                name = f"parts/{chance.choice('acd')}.txt"
                self.data[name], edited = 0, f"the file {name}"
            case _:
                name = chance.choice(DATA)
                self.data[name], edited = chance.randrange(3), name
        self.write()
        return edited


class Kernel:
    """IPython in this process, which reports what notebooks open as a kernel does."""

    def __init__(self):
        self.shell = InteractiveShell.instance()
        self.own_names = frozenset(self.shell.user_ns)
        self.report: AccessReport | None = None
        # A hook cannot be taken off again, and a frame of this file would pass for the notebook's code.
        names = {"__name__": access_report.__name__, "kernel": self}
        sys.addaudithook(eval("lambda *event: kernel.report and kernel.report.hook(*event)", names))

    def execute(self, world: World, notebook: Path, parameters: dict, version: int | None, report: Path | None) -> dict:
        """The scraps of a notebook, with the project's modules loaded afresh."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
            del sys.modules[name]
        scraps: dict = {}
        values = world.tables.versions
        for name in self.shell.user_ns.keys() - self.own_names:
            del self.shell.user_ns[name]
        self.shell.push({"glue": scraps.__setitem__, "table": lambda _: values[-1 if version is None else version]})
        cells = [cell for cell in outline(notebook).cells if cell.kind == "code"]
        self.report = report and AccessReport(str(report), str(world.root), [str(world.root / "runs")])
        try:
            with contextlib.chdir(notebook.parent), capture_output():
                for cell in cells:
                    self.shell.run_cell(cell.source).raise_error()
                    self.shell.push(parameters if "parameters" in cell.tags else {})
        finally:
            self.report = None
        return scraps


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    yield kernel
    InteractiveShell.clear_instance()


@pytest.fixture
def world(tmp_path, monkeypatch, kernel):
    project = World(tmp_path, monkeypatch)
    project.kernel = kernel
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run_attempt(job, **_):
        inputs = json.loads(Path(job.environment[VARIABLE]).read_text())["inputs"]
        report = Path(job.access_report["file"])
        scraps = kernel.execute(project, Path(job.notebook), job.parameters, inputs.get("raw"), report)
        return Outcome(AttemptStatus.SUCCEEDED, None, scraps)

    monkeypatch.setattr(attempts, "run_attempt", run_attempt)
    return project


def run(world: World, number: int):
    """Run the pipeline as the runner does: plan, settle, run; gives its record."""
    pipeline = load(["p"], Flags(), {}, world.root)
    folder = RunFolder(pipeline.paths.runs / f"r{number:04}")
    history = PipelineHistory(pipeline.paths.runs, pipeline.name, without=folder.run_id)
    environment = {"sha256": "e", "python": "3", "packages": {}}
    cache = ResultCache(pipeline, world.tables, history, environment, SourceCache(None), lambda *_: {})
    plan = decide.make_plan(pipeline, RunRequest(), world.tables, current=None, history=history, cache=cache)
    with RunRecorder(folder, lambda: datetime.now(UTC)) as recorder:
        context = RunContext(recorder, world.tables, cache, lambda *_: None, Pools(Path(), {}), threading.Event())
        stages = {name: {"notebook": "n", "depends_on": list(s.depends_on)} for name, s in pipeline.stages.items()}
        recorder.emit("run_started", run_id=folder.run_id, pipeline="p", params_files=[], parameters={}, request={},
                  git={}, environment=environment, stages=stages, pins=dict(plan.pins))  # fmt: skip
        for name, step in plan.steps.items():
            if step.result:
                recorder.emit("stage_settled", stage=name, status="reused", why=step.reason, **step.result)
                cache.remember(step.result["reuse"], folder.run_id)
        run_all(pipeline, {}, Limits(may_reuse=plan.may_reuse), context)
        return recorder.record


def truth(world: World) -> dict[str, dict]:
    """What a run of everything gives."""
    scraps: dict[str, dict] = {}
    own = {"load": {"scale": world.scale}, "both": {"shift": world.shift}}
    for name in NOTEBOOKS:
        references = {
            "load": lambda: {},
            "left": lambda: {"loaded": scraps["load"]["loaded"]},
            "right": lambda: {"loaded": scraps["load"]["loaded"]},
            "both": lambda: {"a": scraps["left"]["left"], "b": scraps["right"]["right"]},
        }[name]()
        parameters = {**own.get(name, {}), **references}
        scraps[name] = world.kernel.execute(world, world.root / f"notebooks/{name}.py", parameters, None, None)
    return scraps


@pytest.mark.parametrize("edits", [40, pytest.param(500, marks=[pytest.mark.campaign, pytest.mark.timeout(3600)])])
def test_no_edit_leaves_a_stale_result_and_hardly_any_run_is_needless(world, monkeypatch, edits):
    monkeypatch.setattr("os.fsync", lambda _: None)
    chance, before = Random(20261125), None
    unchanged, needless = 0, []
    for number in range(edits):
        edited = world.edit(chance) if number else "nothing yet"
        record, expected = run(world, number), truth(world)
        for name, stage in record.stages.items():
            assert stage.scraps == expected[name], f"edit {number}, {edited}: '{name}' is stale ({stage.why})"
            if before is not None and expected[name] == before[name]:
                unchanged += 1
                needless += [(edited, name, stage.why)] if stage.status.value == "succeeded" else []
        before = expected
    assert unchanged > 3 * edits / 2, "edits that leave most stages alone"
    assert len(needless) <= 0.05 * unchanged, needless


def test_code_that_changes_while_its_stage_runs_is_not_taken_for_what_ran(world, monkeypatch):
    run_attempt = attempts.run_attempt

    def edited_meanwhile(job, **arguments):
        outcome = run_attempt(job, **arguments)
        if Path(job.notebook).stem == "left":
            world.numbers["lib/own/deep.py"] = 3
            world.write()
        return outcome

    monkeypatch.setattr(attempts, "run_attempt", edited_meanwhile)
    assert run(world, 0).stages["left"].scraps["left"] == 23, "2 x 9, and 1 of each place"
    monkeypatch.setattr(attempts, "run_attempt", run_attempt)
    record = run(world, 1)
    assert {name: stage.status.value for name, stage in record.stages.items()} == {
        "load": "reused", "left": "succeeded", "right": "reused", "both": "succeeded",
    }  # fmt: skip
    assert record.stages["left"].scraps == truth(world)["left"]
