"""A host that has done more than import says so, and is not forked."""

import sys
import threading
import types

import pytest

from stagebook.execute.host import process
from stagebook.execute.host.imports import Imports


@pytest.fixture(autouse=True)
def without_threads_of_others(monkeypatch):
    """Tests before these have left threads in this process, which no import has started."""
    count = threading.active_count
    others = count() - 1
    monkeypatch.setattr(threading, "active_count", lambda: count() - others)


@pytest.fixture
def imports():
    found = Imports(["json"])
    found.step()
    return found


def test_one_that_has_only_imported_may_be_forked(imports):
    assert (imports.refusal(), list(imports.done), imports.todo) == (None, ["json"], [])


def test_a_module_that_appears_by_itself_is_noticed(imports, monkeypatch):
    monkeypatch.setitem(sys.modules, "aaa_appeared", types.ModuleType("aaa_appeared"))
    assert "aaa_appeared was imported by something that was executed" in imports.refusal()


def test_a_thread_is_noticed_and_not_forgotten(imports):
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    assert "a thread was started" in imports.refusal()
    leave.set()
    thread.join()
    assert "a thread was started" in imports.refusal()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()", "mine"),
        ("import own_helper", "own_helper was imported from outside"),
    ],
)
def test_an_import_that_starts_a_thread_or_reaches_the_project_spoils_it(tmp_path, monkeypatch, source, why):
    """In a process of its own, since threads stay."""
    import subprocess

    (tmp_path / "own_helper.py").write_text("")
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/library.py").write_text(source)
    code = f"""
import sys, sysconfig
sys.path += [{str(tmp_path / "installed")!r}, {str(tmp_path)!r}]
from stagebook.execute.host.imports import Imports
paths = dict(purelib={str(tmp_path / "installed")!r})
sysconfig.get_path = lambda kind, get=sysconfig.get_path: paths.get(kind) or get(kind)
imports = Imports(["library", "json"])
imports.step()
print(imports.refusal())
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert why in said.stdout, said.stderr


def test_what_is_not_installed_or_breaks_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    imports = Imports(["mine", "no_such_module"])
    imports.step()
    imports.step()
    assert imports.skipped == {"mine": "not an installed package", "no_such_module": "not an installed package"}
    assert "mine" not in sys.modules
    assert imports.refusal() is None


def test_what_is_wanted_twice_is_imported_once():
    imports = Imports(["json"])
    imports.step()
    imports.want(["json", "csv", "csv"])
    assert imports.todo == ["csv"]


def test_the_host_imports_nothing_but_the_standard_library():
    import subprocess

    code = f"import sys; before = set(sys.modules); import {process.__name__}; print(*(set(sys.modules) - before))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0].lstrip("_") for name in said} - {"stagebook"}
    assert tops <= {name.lstrip("_") for name in sys.stdlib_module_names}
