"""What is changed in IPython's shell before a notebook's first cell, so that the reply of a cell tells how it ended.

Its text is executed in kernels of other environments too, so it imports the standard library alone. IPython shows some
errors without raising them: those of a script that `%run` runs, and of a cell that another magic runs (`%%capture`,
`%rerun`); in JupyterLab somebody sees them, in a pipeline the next cell would run. Where an error is shown that the
notebook has caught itself (`showtraceback()`), nothing changes.
"""

import functools
import inspect
import runpy
import sys
from pathlib import Path

_MAGICS = "IPython.core.magics."
"""The modules of IPython's own magics."""


def prepare(shell):
    """Let errors of scripts and nested cells be raised, and the end of a kernel be in the cell's reply."""
    if getattr(shell, "_stagebook_prepared", False):
        return
    shell._stagebook_prepared = True
    shell.safe_execfile = _raising_execfile(shell.safe_execfile)
    shell.safe_run_module = _raising_run_module
    shell.run_cell = _raising_run_cell(shell.run_cell)
    shell.InteractiveTB.structured_traceback = _quick(shell.InteractiveTB.structured_traceback)
    if getattr(shell, "payload_manager", None) is not None:
        shell.observe(lambda change: _announce_exit(shell, change), "exit_now")


def begin_access_report(arguments):
    """Let the kernel report what it opens, see `access_report`; one of another environment has no kit, and does not."""
    if arguments is None:
        return
    try:
        from stagebook.executor.kernels import access_report
    except ImportError:
        return
    access_report.begin(**arguments)


def _raising_execfile(execfile):
    """`%run script.py`: an error of the script is the cell's; `%run -e` still ignores its exit status."""

    def safe_execfile(fname, *where, exit_ignore=False, raise_exceptions=True, **options):
        with Path(fname).expanduser().open("rb"):
            pass  # IPython only warns where it cannot be read
        try:
            execfile(fname, *where, raise_exceptions=True, **options)
        except SystemExit:
            if not exit_ignore:
                raise

    return safe_execfile


def _raising_run_module(mod_name, where):
    """`%run -m module`, with the module's error."""
    try:
        where.update(runpy.run_module(str(mod_name), run_name="__main__", alter_sys=True))
    except SystemExit as status:
        if status.code:
            raise


def _raising_run_cell(run_cell):
    """A magic that runs a cell (`%%capture`, `%rerun`) fails where that does; other callers get the result."""

    @functools.wraps(run_cell)
    def raising(*arguments, **options):
        result = run_cell(*arguments, **options)
        if sys._getframe(1).f_globals.get("__name__", "").startswith(_MAGICS):
            result.raise_error()
        return result

    return raising


def _quick(format_traceback):
    """Ask once for the module of a file, not for each frame: with thousands of modules a deep recursion takes 20 s."""

    @functools.wraps(format_traceback)
    def quick(*arguments, **options):
        getmodule, modules = inspect.getmodule, {}

        def cached(of, _filename=None):
            code = getattr(of, "f_code", of)
            if not inspect.iscode(code):
                return getmodule(of, _filename)
            key = (code.co_filename, _filename)
            if key not in modules:
                modules[key] = getmodule(of, _filename)
            return modules[key]

        inspect.getmodule = cached
        try:
            return format_traceback(*arguments, **options)
        finally:
            inspect.getmodule = getmodule

    return quick


def _announce_exit(shell, change):
    """Say in the reply that the kernel is about to end, whoever has asked it to; `exit()` says so by itself."""
    if change["new"]:
        shell.payload_manager.write_payload({"source": "ask_exit", "keepkernel": False})
