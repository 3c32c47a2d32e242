"""A forked kernel is like a fresh one: the same environment, nothing shared, every library works, no stale code."""

import json
import shutil
from pathlib import Path

import pytest
from fixtures.processes import wait_until

import stagebook
from stagebook.executor.kernels import fork_server
from stagebook.model.record import AttemptStatus as A

pytestmark = pytest.mark.slow

PROBE = """
import gc, json, locale, logging, os, signal, sys, threading, warnings
early = sorted({"tqdm.auto", "tqdm.notebook", "matplotlib.pyplot", "matplotlib_inline.backend_inline"} & set(sys.modules))
import matplotlib, matplotlib.pyplot as plt, tqdm.auto, pandas
facts = {
    "early": early,
    "argv": sys.argv[0], "arguments": len(sys.argv), "path": sys.path, "folder": os.getcwd(),
    "environment": {k: v for k, v in os.environ.items() if k not in ("STAGEBOOK_ATTEMPT", "JPY_PARENT_PID")},
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP)],
    "blocked": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0), "worker": os.getppid() == int(os.environ["JPY_PARENT_PID"]),
    "umask": os.umask(0), "stdin": os.readlink("/proc/self/fd/0").partition(":")[0] in ("pipe", "/dev/null"),
    "threads": sorted(thread.name.rstrip("0123456789") for thread in threading.enumerate()), "gc": [gc.isenabled(), gc.get_threshold()],
    "backend": matplotlib.get_backend(), "interactive": matplotlib.is_interactive(), "bar": str(tqdm.auto.tqdm),
    "encoding": [sys.stdout.encoding, sys.getfilesystemencoding(), locale.getlocale()],
    "main": sys.modules["__main__"].__dict__ is globals(), "hooks": sys.excepthook.__class__.__name__,
    "root": [str(handler) for handler in logging.getLogger().handlers], "recursion": sys.getrecursionlimit(),
    "ours": sorted(name for name in sys.modules if name.startswith("stagebook")),
}
print(json.dumps(facts))
"""


def printed(node, cell=-1):
    return "".join(output.text for output in node.cells[cell].outputs if output.get("name") == "stdout")


def test_a_forked_kernel_sees_the_same_as_a_fresh_one(attempt, shared_server):
    _, fresh_node, _ = attempt(None, PROBE)
    _, forked_node, log = attempt(shared_server, PROBE)
    assert "kernel: cold" not in log
    fresh, forked = json.loads(printed(fresh_node)), json.loads(printed(forked_node))
    names = fresh["environment"].keys() | forked["environment"].keys()
    values = {name: (fresh["environment"].get(name), forked["environment"].get(name)) for name in names}
    different = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    assert different == {name: (None, value) for name, (_, value) in different.items() if name.startswith("KMP_")}
    assert {**forked, "environment": {}} == {**fresh, "environment": {}}


def test_figures_are_shown(attempt, shared_server):
    _, node, _ = attempt(shared_server, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert "image/png" in node.cells[-1].outputs[-1].data


def test_kernels_share_no_variables_and_no_random_numbers(attempt, shared_server):
    draw = "import random, numpy as np\nmine = 1\nprint(random.random(), np.random.rand(), np.random.default_rng().random())"
    numbers = [printed(attempt(shared_server, draw)[1]).split() for _ in range(2)]
    assert all(a != b for a, b in zip(*numbers, strict=True))
    assert attempt(shared_server, "mine")[0].error["type"] == "NameError"


def test_every_library_works_after_the_fork(attempt, shared_server, tmp_path):
    outcome, _, log = attempt(
        shared_server,
        f"table = {str(tmp_path / 'table')!r}\n"
        "import pandas as pd, numpy as np, deltalake, polars as pl, pyarrow as pa\n"
        "frame = pd.DataFrame({'x': np.arange(20000) % 7, 'y': np.arange(20000) % 2})\n"
        "deltalake.write_deltalake(table, frame)\n"
        "assert len(deltalake.DeltaTable(table).to_pandas()) == 20000\n"
        "assert pl.scan_delta(table).group_by('x').len().collect().height == 7\n"
        "assert np.linalg.inv(np.random.rand(300, 300)).shape == (300, 300)",
        "from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier\n"
        "HistGradientBoostingClassifier(max_iter=5).fit(frame[['x']], frame.y)\n"
        "RandomForestClassifier(5, n_jobs=2).fit(frame[['x']], frame.y)",
        f"import mlflow\nmlflow.set_tracking_uri('sqlite:///{tmp_path}/mlflow.db')\n"
        "with mlflow.start_run():\n    mlflow.log_metric('a', 1.0)",
        "import multiprocessing, concurrent.futures as futures\n"
        "with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('fork')) as pool:\n"
        "    assert list(pool.map(abs, [-1, -2])) == [1, 2]\n"
        "with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn')) as pool:\n"
        "    assert list(pool.map(abs, [-1, -2])) == [1, 2]",
    )
    assert outcome.status is A.SUCCEEDED, outcome
    assert "kernel: cold" not in log


def test_a_kernel_runs_its_exit_handlers_at_its_end(attempt, shared_server, tmp_path):
    attempt(shared_server, f"import atexit\natexit.register(open({str(tmp_path / 'exit')!r}, 'w').write, 'done')")
    assert (tmp_path / "exit").read_text() == "done"


def test_a_module_in_the_notebooks_folder_hides_a_library_as_in_a_fresh_kernel(attempt, shared_server, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/pandas.py").write_text("mine = True")
    outcome, _, log = attempt(shared_server, "import pandas\nassert pandas.mine")
    assert outcome.status is A.SUCCEEDED
    assert "kernel: cold, pandas.py in the notebook's folder has the name of a library" in log


def test_another_kernelspec_starts_afresh(attempt, shared_server, tmp_path, monkeypatch):
    spec = {"argv": ["python", "-X", "dev", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Own", "language": "python", "metadata": {"debugger": True}}  # fmt: skip
    (tmp_path / "jupyter/kernels/own").mkdir(parents=True)
    (tmp_path / "jupyter/kernels/own/kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    outcome, node, log = attempt(shared_server, "import sys; print(sys.flags.dev_mode)", kernelspec="own")
    assert (outcome.status, printed(node)) == (A.SUCCEEDED, "True\n")
    assert "kernel: cold, kernelspec 'Own' is not a plain ipykernel" in log


def test_a_fork_server_reports_its_state_and_can_be_stopped(own_server):
    own_server(["narwhals"])
    (facts,) = wait_until(fork_server.running_servers)
    assert facts["problem"] is None
    assert facts["workers"] == []
    assert facts["rss_bytes"] > 10_000_000
    assert fork_server.stop() == [facts["pid"]]
    assert fork_server.running_servers() == []


def test_its_files_are_private(module_server):
    wait_until(fork_server.running_servers)
    folder = fork_server.socket_folder()
    for path in (folder, *folder.glob("*.socket")):
        assert path.stat().st_mode & 0o077 == 0


def test_code_of_the_kit_that_has_changed_is_never_served_stale(own_server, attempt, tmp_path, monkeypatch):
    shutil.copytree(Path(stagebook.__file__).parent, tmp_path / "lib/stagebook")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    server = own_server()
    assert "changed" not in attempt(server, "1", name="before")[2]
    pid = fork_server.running_servers()[0]["pid"]
    changed = ("executor/kernels/prespawned.py", "executor/__init__.py")
    for name in changed:
        with (tmp_path / "lib/stagebook" / name).open("a") as module:
            module.write(f"\nimport sys; sys.stderr.write('changed {name}\\n')\n")
    (tmp_path / "lib/stagebook/stage/__init__.py").write_text("answer = 42")
    _, node, log = attempt(server, "from stagebook import stage; print(stage.answer)", name="after")
    assert printed(node) == "42\n"
    assert {f"changed {name}" for name in changed} <= set(log.splitlines())
    assert fork_server.running_servers()[0]["pid"] == pid
