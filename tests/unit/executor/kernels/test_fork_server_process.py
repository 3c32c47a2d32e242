"""A fork server that has done more than import says so, and is not forked."""

import sys
import threading
import types

import pytest
from fixtures.processes import HANG_SECONDS

from stagebook.executor.kernels import fork_server_process
from stagebook.executor.kernels.fork_server_process import Preloader


@pytest.fixture(autouse=True)
def without_threads_of_earlier_tests(monkeypatch):
    """Do not count threads that earlier tests left in this process: no import started them."""
    count = threading.active_count
    excess = count() - 1
    monkeypatch.setattr(threading, "active_count", lambda: count() - excess)


@pytest.fixture
def preloader():
    preloader = Preloader(["json"])
    preloader.import_next()
    return preloader


def test_a_process_that_has_only_imported_may_be_forked(preloader):
    assert (preloader.problem(), list(preloader.imported), preloader.pending) == (None, ["json"], [])


def test_a_module_that_appears_between_imports_is_noticed(preloader, monkeypatch):
    monkeypatch.setitem(sys.modules, "aaa_appeared", types.ModuleType("aaa_appeared"))
    assert "aaa_appeared was imported by something that was executed" in preloader.problem()


def test_a_thread_is_noticed_and_not_forgotten(preloader):
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert "a thread was started" in preloader.problem()
    end.set()
    thread.join()
    assert "a thread was started" in preloader.problem()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()", "mine"),
        ("import own_helper", "own_helper was imported from outside"),
    ],
)
def test_after_an_import_that_starts_a_thread_or_reaches_the_project_it_is_not_forked(tmp_path, source, problem):
    """In a process of its own, since threads stay."""
    import subprocess

    (tmp_path / "own_helper.py").write_text("")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/library.py").write_text(source)
    code = f"""
import sys, sysconfig
sys.path += [{str(tmp_path / "installed")!r}, {str(tmp_path)!r}]
from stagebook.executor.kernels.fork_server_process import Preloader
paths = dict(purelib={str(tmp_path / "installed")!r})
sysconfig.get_path = lambda kind, get=sysconfig.get_path: paths.get(kind) or get(kind)
preloader = Preloader(["library", "json"])
preloader.import_next()
print(preloader.problem())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert problem in process.stdout, process.stderr


def test_modules_that_are_not_installed_packages_are_skipped(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    preloader = Preloader(["mine", "no_such_module"])
    preloader.import_next()
    preloader.import_next()
    assert preloader.skipped == {"mine": "not an installed package", "no_such_module": "not an installed package"}
    assert "mine" not in sys.modules
    assert preloader.problem() is None


def test_a_module_that_is_asked_for_twice_is_imported_once():
    preloader = Preloader(["json"])
    preloader.import_next()
    preloader.add(["json", "csv", "csv"])
    assert preloader.pending == ["csv"]


def test_the_fork_server_imports_nothing_but_the_standard_library():
    import subprocess

    code = f"import sys; before = set(sys.modules); import {fork_server_process.__name__}; print(*(set(sys.modules) - before))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0].lstrip("_") for name in process.stdout.split()} - {"stagebook"}
    assert packages <= {name.lstrip("_") for name in sys.stdlib_module_names}
