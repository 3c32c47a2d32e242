"""A kernel that the system kills for its memory is reported as such: in a control group with little memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from fixtures.processes import HANG_SECONDS, wait_until

from stagebook.executor import papermill_engine
from stagebook.model.record import AttemptStatus as A

GROUPS = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").exists() else Path("/sys/fs/cgroup")
LIMIT = 700 * 1024**2
ATTEMPT = """
import json, os, sys, threading
from pathlib import Path
from stagebook.executor.job import Job
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.executor.supervise import run_attempt
folder, forked = Path(sys.argv[1]), sys.argv[2] == "forked"
server = ForkServer.start(dict(os.environ), []) if forked else None
job = Job(str(folder / "a.ipynb"), str(folder / "o.ipynb"), str(folder), {}, {}, {"notebook": "a"})
outcome = run_attempt(job, log=folder / "log", stop=threading.Event(), progress=lambda _: None, fork_server=server)
print(json.dumps(outcome.to_json()))
"""


@pytest.fixture
def group():
    """A control group of this test alone; only root may make one, and only where the system's are not read-only."""
    path = GROUPS / f"stagebook-test-{os.getpid()}"
    limit = path / ("memory.limit_in_bytes" if GROUPS.name == "memory" else "memory.max")
    try:
        path.mkdir()
        limit.write_text(str(LIMIT))
    except OSError as error:
        if path.exists():
            path.rmdir()
        pytest.skip(f"no control group can be made: {error}")
    yield path
    wait_until(lambda: is_removed(path))


def is_removed(group: Path) -> bool:
    """Kill the processes of a control group, and remove it as soon as they have ended."""
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fresh", "forked"])
def test_a_kernel_that_runs_out_of_memory_is_reported_with_peak_and_cell(alone_with_kills, group, tmp_path, kind):
    cells = ["1", "blocks = []\nwhile True:\n    blocks.append(b'x' * 20_000_000)", "2"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells]), tmp_path / "a.ipynb")
    process = subprocess.run(
        ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group), sys.executable, "-c", ATTEMPT, str(tmp_path), kind],
        capture_output=True, text=True, timeout=HANG_SECONDS, env={**os.environ, "STAGEBOOK_STATE_DIR": str(tmp_path / "state")},
    )  # fmt: skip
    outcome = json.loads(process.stdout)
    assert (outcome["status"], outcome["error"]["type"], outcome["error"]["cell"]) == (A.KERNEL_DIED, "OutOfMemory", 2)
    assert "memory ran out and the system killed the kernel: it held 0." in outcome["error"]["message"]
    assert outcome["peak_rss_bytes"] > LIMIT / 3


@pytest.mark.parametrize(
    ("status", "out_of_memory", "kind", "message"),
    [
        (-9, True, "OutOfMemory", "memory ran out and the system killed the kernel"),
        (-9, False, "KernelDied", "the kernel was killed by SIGKILL"),
        (-11, True, "KernelDied", "the kernel was killed by SIGSEGV"),
        (3, True, "KernelDied", "the kernel ended by itself with exit status 3"),
        (None, False, "KernelDied", "the kernel died"),
    ],
)
def test_only_a_kill_while_memory_ran_out_is_attributed_to_memory(status, out_of_memory, kind, message):
    error_type, text = papermill_engine._death(status, out_of_memory=out_of_memory)
    assert error_type == kind
    assert message in text
