"""A stage's `.py` opens as a notebook in a real JupyterLab and runs top to bottom."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
RUN_SECONDS = 60


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy, since JupyterLab saves outputs into the pair."""
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
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/lab", log.read_text())):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{found.group(1)}/lab"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.browser
def test_a_stage_opens_as_a_notebook_and_runs_top_to_bottom(browser: Browser, lab: str, project: Path):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{lab}/tree/notebooks?reset", wait_until="networkidle", timeout=60_000)
    expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=60_000)
    page.locator(".jp-DirListing-item", has_text="01_data_prep.py").dblclick()
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first).to_be_attached(timeout=60_000)
    # The indicator is idle before there is a kernel, and then each cell that is run asks for one of its own.
    expect(page.locator("#jp-main-statusbar", has_text=re.compile(r"Python 3.* \| Idle"))).to_be_visible(timeout=60_000)
    run_all(page)
    notebook = project / "notebooks/01_data_prep.ipynb"
    deadline = time.monotonic() + RUN_SECONDS
    while not (project / "warehouse/tables/airlines/_delta_log").is_dir():
        assert time.monotonic() < deadline, (
            page.screenshot(path=str(project / "late.png")) and "the notebook did not finish"
        )
        page.wait_for_timeout(500)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first).to_be_attached(timeout=60_000)
    page.keyboard.press("Control+s")
    while not all(cell.execution_count for cell in code_cells(notebook)):
        assert time.monotonic() < deadline, [cell.execution_count for cell in code_cells(notebook)]
        page.wait_for_timeout(500)
    assert not [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]


def run_all(page: Page) -> None:
    """Run → Run All Cells; asked again while JupyterLab, still settling, has swallowed the click.

    A dialog that comes up meanwhile is answered as it proposes: what counts is what the cells have done.
    """
    page.add_locator_handler(
        page.locator(".jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").first.click(), no_wait_after=True
    )
    started = page.locator(".jp-InputArea-prompt", has_text=re.compile(r"\[(\d+|\*)\]"))
    for _ in range(6):
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
        page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
        for _ in range(10):
            if started.count():
                return
            page.wait_for_timeout(500)
    raise AssertionError("no cell was started")


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
