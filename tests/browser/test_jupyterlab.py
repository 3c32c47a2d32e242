"""A stage's `.py` opens as a notebook in a real JupyterLab and runs top to bottom."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


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
def test_a_stage_opens_as_a_notebook_and_runs_top_to_bottom(page: Page, lab: str, project: Path):
    page.goto(f"{lab}/tree/notebooks/01_data_prep.py?factory=Notebook", wait_until="domcontentloaded")
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible(timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']").first).to_be_attached(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    cells = page.locator(".jp-CodeCell .jp-InputArea-prompt")
    last = cells.nth(cells.count() - 1)
    expect(last).to_have_text(re.compile(r"\[\d+\]"), timeout=120_000)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert (project / "warehouse/tables/flights/_delta_log").is_dir()
    page.screenshot(path=str(project / "jupyterlab.png"))
