"""Notebooks that end in every way that a notebook has, in a real kernel: what is recorded is what happened."""

import threading

import nbformat
import pytest
from fixtures.attempts import shown, states

from stagebook.executor.job import Job
from stagebook.executor.supervise import run_attempt
from stagebook.model.record import AttemptStatus as A

LATER = ("import time; time.sleep(0.3)", "open('deployed.txt', 'w').write('x')")
DO_SHUTDOWN = "get_ipython().kernel.do_shutdown(False)"


@pytest.fixture
def beside(tmp_path):
    """Files beside the notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name, text in {
        "broken.py": "raise ValueError('broken')",
        "exits.py": "import sys; sys.exit(3)",
        "ends.py": "import sys; sys.exit(0)",
        "broken_module.py": "raise ValueError('broken')",
        "broken.ipy": "raise ValueError('broken')",
        "unreadable.py": "1",
    }.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    "exit",
    ["exit()", "quit()", "exit", "import sys; sys.exit()", "import sys; sys.exit(0)", "raise SystemExit",
     DO_SHUTDOWN, "get_ipython().ask_exit()", "exit(); print('after')"],
)  # fmt: skip
@pytest.mark.parametrize("may_exit", [False, True])
def test_an_exit_ends_the_notebook_there(attempt, beside, exit, may_exit):
    outcome, node = attempt("1", exit, *LATER, may_exit=may_exit)
    assert not (beside / "deployed.txt").exists()
    if may_exit:
        assert (outcome.status, outcome.error) == (A.SUCCEEDED, None)
        assert outcome.ended_early.endswith("in cell 2")
        assert states(node) == ["completed", "completed", "pending", "pending"]
        assert "The notebook ends here" in shown(node)
    else:
        assert (outcome.status, outcome.error["type"], outcome.error["cell"]) == (A.FAILED, "EarlyExit", 2)
        assert states(node) == ["completed", "failed", "pending", "pending"]


@pytest.mark.parametrize("exit", ["exit()", "import sys; sys.exit(0)"])
def test_an_exit_with_status_0_in_the_last_cell_is_a_success(attempt, exit):
    outcome, node = attempt("1", exit, "  \n")
    assert (outcome.status, outcome.ended_early) == (A.SUCCEEDED, None)
    assert states(node)[:2] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("exit", "message"),
    [
        ("exit(3)", "exit() with exit status 3"),
        ("import sys; sys.exit(3)", "sys.exit() with exit status 3"),
        ("import sys; sys.exit('no data')", "sys.exit() with exit status 1: no data"),
        ("import argparse; argparse.ArgumentParser('x').error('no')", "exit status 2: the last line on stderr: x: error: no"),
        ("%run exits.py", "sys.exit() with exit status 3"),
    ],
)  # fmt: skip
def test_another_exit_status_is_a_failure_whatever_the_stage_allows(attempt, beside, exit, message):
    outcome, node = attempt(exit, "1", may_exit=True)
    assert (outcome.status, outcome.error["type"], outcome.error["cell"]) == (A.FAILED, "SystemExit", 1)
    assert message in outcome.error["message"]
    assert states(node) == ["failed", "pending"]


END = "from stagebook import stage"


@pytest.mark.parametrize(
    "ending",
    [
        "stage.end('nothing today')",
        "try:\n    stage.end('nothing today')\nexcept Exception:\n    pass",
        "%time stage.end('nothing today')",
        "try:\n    raise ExceptionGroup('g', [ValueError()])\nexcept* ValueError:\n    stage.end('nothing today')",
    ],
)
def test_stage_end_ends_the_stage_successfully_and_without_a_traceback(attempt, beside, ending):
    outcome, node = attempt(END, ending, *LATER)
    assert (outcome.status, outcome.error, outcome.ended_early) == (A.SUCCEEDED, None, "nothing today")
    assert not (beside / "deployed.txt").exists()
    assert states(node) == ["completed", "completed", "pending", "pending"]
    assert "The stage ends here: nothing today\n" in shown(node)
    assert "error" not in [output.output_type for output in node.cells[1].outputs]


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("%run broken.py", "ValueError", "broken"),
        ("%run -i broken.py", "ValueError", "broken"),
        ("%run -n broken.py", "ValueError", "broken"),
        ("%run -t broken.py", "ValueError", "broken"),
        ("%run -p broken.py", "ValueError", "broken"),
        ("%run -m broken_module", "ValueError", "broken"),
        ("%run broken.ipy", "ValueError", "broken"),
        ("%run missing.py", "Exception", "`'missing.py'` not found"),
        ("import os; os.chmod('unreadable.py', 0); os.rename('unreadable.py', 'a.py'); os.mkdir('unreadable.py')\n%run unreadable.py", "Exception", "not found"),
        ("%%capture\nraise ValueError('broken')", "ValueError", "broken"),
        ("%%time\nraise ValueError('broken')", "ValueError", "broken"),
        ("raise ExceptionGroup('several', [ValueError('a'), KeyError('b')])", "ExceptionGroup", "several (2 sub-exceptions)"),
        ("class E(Exception):\n    def __str__(self): raise ValueError('no words')\nraise E", "ValueError", "no words"),
        ("class A:\n    def __repr__(self): raise ValueError('broken')\nA()", "ValueError", "broken"),
        ("%no_such_magic", "UsageError", "Line magic function `%no_such_magic` not found."),
        ("def f(", "_IncompleteInputError", "incomplete input"),
        ("raise ValueError('\\ud800')", "UnicodeEncodeError", "surrogates not allowed"),
        ("input()", "StdinNotImplementedError", "does not support input requests"),
        ("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "KeyboardInterrupt", "did not come from the run"),
        ("import os, signal, asyncio; os.kill(os.getpid(), signal.SIGINT); await asyncio.sleep(9)", "CancelledError", "raised by"),
        ("rows = 0\nassert rows > 0", "AssertionError", "no message; raised by `assert rows > 0`"),
        ("raise BaseException('b')", "BaseException", "b"),
    ],
)  # fmt: skip
def test_what_is_raised_stops_the_notebook_in_its_cell(attempt, beside, code, kind, message):
    outcome, node = attempt("1", code, *LATER)
    assert outcome.status is A.FAILED
    assert (outcome.error["type"], outcome.error["cell"]) in ((kind, 2), ("SyntaxError", 2))
    assert message in outcome.error["message"]
    assert not (beside / "deployed.txt").exists()
    assert states(node) == ["completed", "failed", "pending", "pending"]
    assert "error" in [output.output_type for output in node.cells[1].outputs]


@pytest.mark.parametrize(
    "handled",
    [
        "try: 1 / 0\nexcept Exception: get_ipython().showtraceback()",
        "try: 1 / 0\nexcept Exception: pass\n%tb",
        "get_ipython().run_cell('1 / 0').success",
        "from IPython.display import publish_display_data\nclass A:\n    def _repr_html_(self): raise KeyError('x')\ndisplay(A())",
        "try:\n    get_ipython().run_line_magic('run', 'broken.py')\nexcept ValueError: pass",
        "%run ends.py",
        "%run -e exits.py",
        "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
        "get_ipython().events.register('post_run_cell', lambda result: 1 / 0)",
        "!exit 3",
        "import warnings; warnings.warn('careful')",
    ],
)  # fmt: skip
def test_what_is_only_shown_stops_nothing(attempt, beside, handled):
    outcome, node = attempt(handled, "print('went on')")
    assert (outcome.status, outcome.error) == (A.SUCCEEDED, None)
    assert states(node) == ["completed", "completed"]
    assert node.metadata.papermill.exception is None


def test_a_cell_tagged_for_it_may_raise(attempt):
    outcome, node = attempt("int('x')", "print('went on')", tags=["raises-exception"])
    assert (outcome.status, outcome.error) == (A.SUCCEEDED, None)
    assert [output.output_type for output in node.cells[0].outputs] == ["error"]
    assert "went on" in shown(node)


def test_what_comes_after_a_cell_that_may_raise_is_judged_by_itself(attempt):
    outcome, _ = attempt("int('x')", "1 / 0", tags=["raises-exception"])
    assert (outcome.error["type"], outcome.error["cell"]) == ("ZeroDivisionError", 2)


def test_a_cell_tagged_to_be_skipped_is_not_run(attempt):
    outcome, _ = attempt("1 / 0", "1", tags=["skip-execution"])
    assert outcome.status is A.SUCCEEDED


def test_cells_have_the_numbers_that_their_author_sees(attempt):
    outcome, node = attempt("x", " ", "1 / 0", parameters="x: int = 1", values={"x": 2})
    assert outcome.error["cell"] == 3, "the parameters, x, and the failing one: neither the injected nor the blank one"
    assert [cell.execution_count for cell in node.cells] == [1, None, 2, None, 3]
    assert "In[3]" in "".join(node.cells[-1].outputs[0].traceback).replace("\x1b[39m", "").replace("\x1b[32m", "")


def test_a_deep_recursion_is_shown_without_looking_through_all_modules_for_each_frame(attempt):
    counting = """
        import inspect, sys
        looked_at, ismodule = 0, inspect.ismodule
        def counted(of):
            global looked_at
            looked_at += 1
            return ismodule(of)
        inspect.ismodule = counted
    """
    recursion = """
        def f(n): return f(n + 1)
        try: f(0)
        except RecursionError: get_ipython().showtraceback()
    """
    outcome, node = attempt(counting, recursion, "print(looked_at / len(sys.modules))")
    assert outcome.status is A.SUCCEEDED
    assert node.cells[1].outputs[0].ename == "RecursionError"
    assert float(shown(node)) < 50, "times, of 3,000 frames"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGKILL", "SIGSEGV"])
@pytest.mark.parametrize(("process", "kind"), [("getpid", "KernelDied"), ("getppid", "WorkerDied")])
def test_a_kernel_or_a_worker_that_a_signal_has_killed_says_which(tmp_path, notebook, server, process, kind, number):
    kill = f"import os, signal, time; os.kill(os.{process}(), signal.{number}); time.sleep(60)"
    source, log = notebook("stage", "1", kill), tmp_path / "log"
    job = Job(str(source), str(tmp_path / "out.ipynb"), str(tmp_path), {}, {}, {"notebook": str(source), "stage": "s"})
    outcome = run_attempt(job, log=log, stop=threading.Event(), progress=lambda cell: None, fork_server=server)
    assert (outcome.status, outcome.error["type"]) == (A.KERNEL_DIED, kind)
    assert f"killed by {number}" in outcome.error["message"]


def test_an_interrupt_to_the_worker_alone_stops_nothing(attempt):
    outcome, _ = attempt("import os, signal; os.kill(os.getppid(), signal.SIGINT)", "1")
    assert outcome.status is A.SUCCEEDED


def test_a_kernel_that_does_not_exist_is_the_failure_and_the_notebook_is_saved(tmp_path, notebook):
    source, output = notebook("stage", "1"), tmp_path / "out.ipynb"
    node = nbformat.read(source, as_version=4)
    node.metadata["kernelspec"] = {"name": "nope", "language": "python", "display_name": "nope"}
    nbformat.write(node, source)
    job = Job(str(source), str(output), str(tmp_path), {}, {}, {"notebook": str(source), "stage": "s"})
    outcome = run_attempt(job, log=tmp_path / "log", stop=threading.Event(), progress=lambda cell: None)
    assert (outcome.status, outcome.error["type"], outcome.error["cell"]) == (A.FAILED, "NoSuchKernel", None)
    assert "nope" in outcome.error["message"]
    assert states(nbformat.read(output, as_version=4)) == ["pending"]
