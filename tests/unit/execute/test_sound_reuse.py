"""Random edits, held against the truth: no result is ever taken that a run of everything would not give.

Notebooks run in this process, without kernels, so that hundreds of edits take seconds; all that decides is real.
"""

import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from stagebook.code.cache import SourceCache
from stagebook.execute import attempts
from stagebook.execute.crew import Crew, Limits
from stagebook.execute.job import Outcome
from stagebook.execute.reusing import Results
from stagebook.execute.run_all import run_all
from stagebook.model.context import VARIABLE
from stagebook.model.record import AttemptStatus
from stagebook.notebook.outline import outline
from stagebook.params.load import Flags, load
from stagebook.run import plan
from stagebook.run.request import RunRequest
from stagebook.storage.pools import Pools
from stagebook.storage.runbook import RunBook
from stagebook.storage.runs import History, RunFolder

EDITS = 500

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
    "load": ("scale: int = 1", "from own import shared", "glue('loaded', scale * table('raw') + shared.base() + {number})"),
    "left": ("loaded: int = 0", "from own.lefty import twice", "glue('left', twice(loaded) + {number})"),
    "right": ("loaded: int = 0", "rate = int(open('rate.txt').read())", "glue('right', loaded % 7 + rate + {number})"),
    "both": ("a: int = 0\nb: int = 0\nshift: int = 0", "import importlib\nshared = importlib.import_module('own.shared')",
             "glue('both', a * 10 + b + shift + shared.base() + {number})"),
}  # fmt: skip
MODULES = {
    "own/__init__.py": "",
    "own/shared.py": "import json\nfrom pathlib import Path\n\ndef base():\n    return {number}",
    "own/lefty.py": "def twice(x):\n    from own import deep\n    return 2 * x + deep.OFFSET + {number}",
    "own/deep.py": "OFFSET = {number}",
    "own/unused.py": "NOTHING = {number}",
}


class Tables:
    """One table of others whose rows are one number; a version is content, whatever its number."""

    def __init__(self):
        self.versions = [1]

    def latest(self, name):
        return len(self.versions) - 1

    def identity(self, name, version):
        return f"rows {self.versions[version]}"

    def intact(self, name, version):
        return True


class World:
    """A project on the disk, with what can be changed of it."""

    def __init__(self, root: Path):
        self.root, self.tables = root, Tables()
        self.numbers = dict.fromkeys([*NOTEBOOKS, *MODULES], 1)
        self.looks = dict.fromkeys(self.numbers, 0)
        self.scale, self.shift, self.rate = 1, 0, 5
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
        for name, text in MODULES.items():
            self._put(f"lib/{name}", f"# {'look ' * self.looks[name]}\n{text.format(number=self.numbers[name])}\n")
        self._put("notebooks/rate.txt", str(self.rate))
        self._put("params/p.yaml", PARAMS.format(scale=self.scale, shift=self.shift))

    def _put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, chance: Random) -> str:
        """One random edit, of what matters or of what does not; says which."""
        match chance.randrange(8):
            case 0 | 1:
                name = chance.choice(list(self.numbers))
                self.numbers[name] = chance.randrange(4)
                what = f"code of {name}"
            case 2 | 3:
                name = chance.choice(list(self.looks))
                self.looks[name] = chance.randrange(5)
                what = f"looks of {name}"
            case 4:
                self.scale, what = chance.randrange(1, 4), "scale"
            case 5:
                self.shift, what = chance.randrange(3), "shift"
            case 6:
                self.tables.versions.append(chance.randrange(3))
                what = "a commit to raw"
            case _:
                self.rate, what = chance.randrange(3), "rate.txt"
        self.write()
        return what


def execute(world: World, notebook: Path, parameters: dict, version: int | None) -> dict:
    """The scraps of a notebook that runs in this process, with the project's modules loaded afresh."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        del sys.modules[name]
    scraps: dict = {}

    def beside(name):
        return (notebook.parent / name).open()

    values = world.tables.versions
    namespace = {
        "glue": scraps.__setitem__,
        "open": beside,
        "table": lambda _: values[-1 if version is None else version],
    }
    for cell in outline(notebook).cells:
        if cell.kind == "code":
            exec(compile(cell.source, str(notebook), "exec"), namespace)
            namespace |= parameters if "parameters" in cell.tags else {}
    return scraps


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run_attempt(job, **_):
        inputs = json.loads(Path(job.environment[VARIABLE]).read_text())["inputs"]
        scraps = execute(made, Path(job.notebook), job.parameters, inputs.get("raw"))
        return Outcome(AttemptStatus.SUCCEEDED, None, scraps)

    monkeypatch.setattr(attempts, "run_attempt", run_attempt)
    return made


def run(world: World, number: int):
    """Run the pipeline as the runner does: plan, settle, run; gives its record."""
    pipeline = load(["p"], Flags(), {}, world.root)
    folder = RunFolder(pipeline.places.runs / f"r{number:04}")
    history = History(pipeline.places.runs, pipeline.name, without=folder.run_id)
    environment = {"sha256": "e", "python": "3", "packages": {}}
    results = Results(pipeline, world.tables, history, environment, SourceCache(None))
    steps = plan.make(pipeline, RunRequest(), world.tables, current=None, earlier=history, results=results)
    with RunBook(folder, lambda: datetime.now(UTC)) as book:
        crew = Crew(book, world.tables, results, lambda *_: None, Pools(Path(), {}), threading.Event())
        stages = {name: {"notebook": "n", "depends_on": list(s.depends_on)} for name, s in pipeline.stages.items()}
        book.tell("run_started", run_id=folder.run_id, pipeline="p", params_files=[], parameters={}, request={},
                  git={}, environment=environment, stages=stages, pins=dict(steps.pins))  # fmt: skip
        for name, step in steps.steps.items():
            if step.result:
                attempts.settle_reused(name, attempts.Found(step.why, step.result), crew)
        run_all(pipeline, {}, Limits(may_reuse=steps.may_reuse), crew)
        return book.record


def truth(world: World) -> dict[str, dict]:
    """What a run of everything gives."""
    scraps: dict[str, dict] = {}
    known = {"load": {"scale": world.scale}, "both": {"shift": world.shift}}
    for name in NOTEBOOKS:
        given = {
            "load": lambda: {},
            "left": lambda: {"loaded": scraps["load"]["loaded"]},
            "right": lambda: {"loaded": scraps["load"]["loaded"]},
            "both": lambda: {"a": scraps["left"]["left"], "b": scraps["right"]["right"]},
        }[name]()
        scraps[name] = execute(world, world.root / "notebooks" / f"{name}.py", {**known.get(name, {}), **given}, None)
    return scraps


def test_no_edit_leaves_a_stale_result_and_hardly_any_run_is_needless(world, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
    chance, before = Random(20261125), None
    same, needless = 0, []
    for number in range(EDITS):
        what = world.edit(chance) if number else "nothing yet"
        record, now = run(world, number), truth(world)
        for name, stage in record.stages.items():
            assert stage.scraps == now[name], f"edit {number}, {what}: '{name}' is stale ({stage.why})"
            if before is not None and now[name] == before[name]:
                same += 1
                needless += [(what, name, stage.why)] if stage.status.value == "succeeded" else []
        before = now
    assert same > 3 * EDITS / 2, "edits that leave most stages alone"
    assert len(needless) <= 0.05 * same, needless


def test_code_that_changes_while_its_stage_runs_is_not_taken_for_what_ran(world, monkeypatch):
    whole = attempts.run_attempt

    def edited_meanwhile(job, **more):
        outcome = whole(job, **more)
        if Path(job.notebook).stem == "left":
            world.numbers["own/deep.py"] = 3
            world.write()
        return outcome

    monkeypatch.setattr(attempts, "run_attempt", edited_meanwhile)
    assert run(world, 0).stages["left"].scraps["left"] == 9, "2 x 3, and 1 of each place"
    monkeypatch.setattr(attempts, "run_attempt", whole)
    record = run(world, 1)
    assert {name: stage.status.value for name, stage in record.stages.items()} == {
        "load": "reused", "left": "succeeded", "right": "reused", "both": "succeeded",
    }  # fmt: skip
    assert record.stages["left"].scraps == truth(world)["left"]
