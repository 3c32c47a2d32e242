"""A stage's `.py` opens as a notebook in a real JupyterLab and runs top to bottom."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from fixtures.processes import HANG_SECONDS, wait_until
from nbformat.reader import NotJSONError
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).resolve().parents[2]
HANG_MS = 1000 * HANG_SECONDS


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project, since JupyterLab saves outputs into the notebook pair."""
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.fixture
def lab(project) -> Iterator[str]:
    """The address of a JupyterLab that serves the project on loopback."""
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={project}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    env = {k: v for k, v in os.environ.items() if not k.startswith("STAGEBOOK_")}
    env |= {"JUPYTER_CONFIG_DIR": str(project / "config"), "JUPYTER_RUNTIME_DIR": str(project / "runtime")}
    log = project / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=project, env=env, stderr=stream, stdout=stream)
    try:
        address = wait_until(
            lambda: re.search(r"http://127\.0\.0\.1:\d+/lab", log.read_text()), process=server, details=log.read_text
        )  # fmt: skip
        yield address[0]
    finally:
        server.terminate()
        server.wait(timeout=HANG_SECONDS)


@pytest.mark.browser
def test_a_stage_opens_as_a_notebook_and_runs_top_to_bottom(browser: Browser, lab: str, project: Path):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{lab}/tree/notebooks?reset", wait_until="networkidle", timeout=HANG_MS)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=HANG_MS)
    page.locator(".jp-DirListing-item", has_text="01_data_prep.py").dblclick()
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=HANG_MS)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first).to_be_attached(timeout=HANG_MS)
    # The indicator is also idle while there is no kernel, and a cell that runs then asks for a kernel of its own.
    expect(page.locator("#jp-main-statusbar", has_text=re.compile(r"Python 3.* \| Idle"))).to_be_visible(
        timeout=HANG_MS
    )
    run_all(page)
    notebook = project / "notebooks/01_data_prep.ipynb"
    last_table = project / "warehouse/tables/airlines/_delta_log"
    wait_in_page(page, last_table.is_dir, lambda: page.screenshot(path=str(project / "late.png")) and "see late.png")
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first).to_be_attached(timeout=HANG_MS)
    page.keyboard.press("Control+s")
    wait_in_page(page, lambda: is_saved_with_all_outputs(notebook), lambda: notebook.read_text()[-2000:])
    assert not [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]


def wait_in_page(page: Page, condition: Callable[[], bool], details: Callable[[], object]) -> None:
    """Wait until the condition is true, while the page handles its events."""

    def true_after_events() -> bool:
        page.wait_for_timeout(100)
        return condition()

    wait_until(true_after_events, details=details)


def run_all(page: Page) -> None:
    """Choose Run → Run All Cells, repeatedly, since JupyterLab ignores clicks while it starts.

    A dialog that opens meanwhile is accepted; the test checks only the results of the cells.
    """
    page.add_locator_handler(
        page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").first.click(), no_wait_after=True
    )
    started = page.locator(".jp-InputArea-prompt", has_text=re.compile(r"\[(\d+|\*)\]"))
    for _ in range(round(HANG_SECONDS / 5)):
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        for _ in range(50):
            if started.count():
                return
            page.wait_for_timeout(100)
    raise AssertionError("no cell was started")


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def is_saved_with_all_outputs(path: Path) -> bool:
    """Whether each cell of the file has been executed; while the file is being written, it is not known."""
    try:
        return all(cell.execution_count for cell in code_cells(path))
    except NotJSONError:
        return False
