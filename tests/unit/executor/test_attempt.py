"""One attempt in a real worker with a real kernel: outcomes, cell states, no process left behind."""

import os
import threading
from pathlib import Path

import nbformat
import psutil
import pytest
from fixtures.attempts import states

from stagebook.executor.job import Job
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.executor.supervise import run_attempt
from stagebook.model.record import AttemptStatus as A

pytestmark = pytest.mark.slow


@pytest.fixture(params=["fresh", "forked"])
def server(request):
    """No fork server, or that of this machine: the attempts must be the same."""
    return ForkServer.start(dict(os.environ), ["pandas", "scrapbook"]) if request.param == "forked" else None


def test_parameters_are_injected_scraps_come_back_and_progress_is_reported(attempt):
    cells = []
    outcome, node = attempt(
        "import os, scrapbook as sb\nsb.glue('twice', x * 2)\nsb.glue('text', '[1]')\nsb.glue('nan', float('nan'))",
        "print(os.getcwd(), os.environ['MARKER'])",
        values={"x": 21, "names": ["a"]},
        parameters="x: int = 1\nnames: list[str] = []",
        on_cell=cells.append,
    )
    assert outcome.status is A.SUCCEEDED
    assert outcome.scraps == {"twice": 42, "text": "[1]", "nan": pytest.approx(float("nan"), nan_ok=True)}
    assert states(node) == ["completed"] * 4
    assert node.cells[-1].outputs[0].text.split() == [
        str(Path(node.metadata.stagebook.notebook).parent),
        "here",
    ]
    assert [(cell.cell, cell.of) for cell in cells] == [(1, 3), (2, 3), (3, 3)], "without the one that was injected"
    assert outcome.peak_rss_bytes and outcome.peak_rss_bytes > 10_000_000
    assert outcome.cpu_seconds and outcome.cpu_seconds > 0


@pytest.mark.parametrize(
    ("broken", "status", "kind", "message"),
    [
        ("1 / 0", A.FAILED, "ZeroDivisionError", "division by zero"),
        ("import sys; sys.exit(0)", A.FAILED, "EarlyExit", "1 cell after it did not run"),
        ("import sys; sys.exit(3)", A.FAILED, "SystemExit", "3"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            A.KERNEL_DIED,
            "KernelDied",
            "killed by SIGKILL",
        ),
        ("import os; os._exit(7)", A.KERNEL_DIED, "KernelDied", "exit status 7"),
    ],
)
def test_a_failure_is_reported_as_it_happened(alone_with_kills, attempt, broken, status, kind, message):
    outcome, node = attempt("import scrapbook as sb; sb.glue('kept', 1)", broken, "'never'")
    assert outcome.status is status
    assert (outcome.error["type"], outcome.error["cell"]) == (kind, 2)
    assert message in outcome.error["message"]
    assert outcome.scraps == {"kept": 1}
    assert states(node) == ["completed", "failed", "pending"]
    assert node.metadata.papermill.exception is True
    assert "error" in [output.output_type for output in node.cells[1].outputs]


def test_a_cell_that_runs_out_of_time_times_out(attempt):
    outcome, node = attempt("1", "import time; time.sleep(60)", "2", timeout_seconds=3)
    assert (outcome.status, outcome.error["type"], outcome.error["cell"]) == (A.TIMEOUT, "Timeout", 2)
    assert "longer than its time limit of 3 s (timeout_seconds), in cell 2" in outcome.error["message"]
    assert states(node) == ["completed", "failed", "pending"]


def sleepers(seconds: str):
    return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]]


@pytest.mark.parametrize(
    ("busy", "name"),
    [
        (
            "import subprocess; subprocess.Popen(['sleep', '7171'], start_new_session=True); subprocess.run(['sleep', '7171'])",
            "7171",
        ),
        (
            "import subprocess, re; subprocess.Popen(['sleep', '7272']); re.match(r'(a+)+$', 'a' * 60 + 'b')",
            "7272",
        ),
    ],
    ids=["a detached child", "holding the GIL"],
)
def test_a_stop_leaves_no_process_behind(attempt, busy, name):
    outcome, node = attempt("1", busy, "2", stop_when=lambda: sleepers(name))
    assert outcome.status is A.INTERRUPTED
    assert not sleepers(name)
    assert states(node) == ["completed", "failed", "pending"]


def test_a_process_that_a_cell_left_running_ends_with_the_attempt(attempt):
    outcome, _ = attempt("import subprocess; subprocess.Popen(['sleep', '7373'], start_new_session=True)")
    assert outcome.status is A.SUCCEEDED
    assert not sleepers("7373")


def test_an_idle_kernel_is_not_interrupted_at_its_end(attempt, tmp_path):
    interrupted, ready = tmp_path / "interrupted", tmp_path / "ready"
    waiting = f"""trap 'echo > "{interrupted}"' INT; echo > "{ready}"; while :; do sleep 0.01; done"""
    outcome, _ = attempt(
        f"import os, subprocess, time\nsubprocess.Popen(['sh', '-c', {waiting!r}])\n"
        f"while not os.path.exists({str(ready)!r}): time.sleep(0.02)"
    )
    assert outcome.status is A.SUCCEEDED
    assert not interrupted.exists()


def test_an_unsafe_parameter_name_never_runs(attempt, tmp_path):
    written = tmp_path / "written"
    outcome, node = attempt("1", values={f"x = 1; open({str(written)!r}, 'w'); y": 1}, parameters="x = 0")
    assert (outcome.status, outcome.error["type"]) == (A.FAILED, "UnsafeInjection")
    assert not written.exists()
    assert set(states(node)) == {"pending"}


def test_braces_in_paths_and_values_are_left_alone(attempt):
    outcome, node = attempt("print(x)", values={"x": "{y} {0}"}, parameters="x = ''")
    assert outcome.status is A.SUCCEEDED
    assert node.cells[-1].outputs[0].text == "{y} {0}\n"


def test_an_unknown_kernel_is_named(tmp_path, server):
    path = tmp_path / "a.ipynb"
    node = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    node.metadata["kernelspec"] = {"name": "klingon", "language": "python", "display_name": "k"}
    nbformat.write(node, path)
    job = Job(str(path), str(tmp_path / "o.ipynb"), str(tmp_path), {}, {}, {"notebook": str(path)})
    outcome = run_attempt(
        job, log=tmp_path / "log", stop=threading.Event(), progress=lambda _: None, fork_server=server
    )
    assert (outcome.status, outcome.error["type"]) == (A.FAILED, "NoSuchKernel")
    assert "klingon" in outcome.error["message"]
