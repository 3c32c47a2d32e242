"""Attempts of notebooks, forked from a host of the test's own or from the shared one."""

import os
import threading

import nbformat
import pytest
from fixtures.waiting import wait_until

from stagebook.execute.host import client, preload
from stagebook.execute.host.client import Host
from stagebook.execute.job import Job
from stagebook.execute.supervise import run_attempt


@pytest.fixture
def own_host(tmp_path, monkeypatch):
    """`own_host()` starts a host for this test alone; it is stopped afterwards."""
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(tmp_path / "state"))

    def start(modules=(), **settings) -> Host:
        return Host.of(dict(os.environ), list(modules), **settings)

    yield start
    client.stop()


@pytest.fixture(scope="session")
def full_host() -> Host:
    """The shared host, when it has imported all that the example does."""
    host = Host.of(dict(os.environ), [*preload.LAZILY])

    def is_ready() -> bool:
        return any(
            facts.get("imported", 0) >= len(preload.LAZILY) and not facts["to_import"] for facts in client.everyone()
        )

    wait_until(is_ready, seconds=120)
    return host


@pytest.fixture
def attempt(tmp_path, notebook):
    """`attempt(host, "cell", …)` gives outcome, executed notebook and log; `started` is called with the first cell."""

    def run(host, *cells, stop=None, progress=lambda _: None, name="stage", kernelspec=None):
        source = notebook(name, *cells)
        if kernelspec:
            node = nbformat.read(source, as_version=4)
            node.metadata["kernelspec"] = {"name": kernelspec, "language": "python", "display_name": kernelspec}
            nbformat.write(node, source)
        output, log = tmp_path / f"out/{name}.ipynb", tmp_path / f"out/{name}.log"
        job = Job(str(source), str(output), str(source.parent), {}, {}, {"notebook": str(source)})
        outcome = run_attempt(job, log=log, stop=stop or threading.Event(), progress=progress, host=host)
        return outcome, nbformat.read(output, as_version=4) if output.exists() else None, log.read_text()

    return run
