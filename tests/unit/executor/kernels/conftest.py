"""Attempts of notebooks, forked from a fork server of the test's own or from the shared one."""

import os
import threading

import nbformat
import pytest
from fixtures.processes import wait_until

from stagebook.executor.job import Job
from stagebook.executor.kernels import fork_server, preload
from stagebook.executor.kernels.fork_server import ForkServer
from stagebook.executor.supervise import run_attempt


@pytest.fixture
def own_server(tmp_path, monkeypatch):
    """`own_server()` starts a fork server for this test alone; it is stopped afterwards."""
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(tmp_path / "state"))

    def start(modules=(), **settings) -> ForkServer:
        return ForkServer.start(dict(os.environ), list(modules), **settings)

    yield start
    fork_server.stop()


@pytest.fixture(scope="module")
def state_of_module(tmp_path_factory):
    """A state folder, and so fork servers, of a module of tests."""
    folder = tmp_path_factory.mktemp("state")
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAGEBOOK_STATE_DIR", str(folder))
        fork_server.stop()


@pytest.fixture
def module_server(state_of_module, monkeypatch) -> ForkServer:
    """The fork server of the module; the tests that use it leave it as it is."""
    monkeypatch.setenv("STAGEBOOK_STATE_DIR", str(state_of_module))
    return ForkServer.start(dict(os.environ), [])


@pytest.fixture(scope="session")
def shared_server() -> ForkServer:
    """The fork server that all tests share, once it has imported all that the example does."""
    server = ForkServer.start(dict(os.environ), [*preload.LAZY_IMPORTS])

    def is_ready() -> bool:
        return any(
            facts.get("imported", 0) >= len(preload.LAZY_IMPORTS) and not facts["to_import"]
            for facts in fork_server.running_servers()
        )

    wait_until(is_ready)
    return server


@pytest.fixture
def attempt(tmp_path, notebook):
    """`attempt(server, "cell", …)` gives outcome, executed notebook and log; with None, nothing is forked."""

    def run(server, *cells, stop=None, progress=lambda _: None, name="stage", kernelspec=None):
        source = notebook(name, *cells)
        if kernelspec:
            node = nbformat.read(source, as_version=4)
            node.metadata["kernelspec"] = {"name": kernelspec, "language": "python", "display_name": kernelspec}
            nbformat.write(node, source)
        output, log = tmp_path / f"out/{name}.ipynb", tmp_path / f"out/{name}.log"
        job = Job(str(source), str(output), str(source.parent), {}, {}, {"notebook": str(source)})
        outcome = run_attempt(job, log=log, stop=stop or threading.Event(), progress=progress, fork_server=server)
        return outcome, nbformat.read(output, as_version=4) if output.exists() else None, log.read_text()

    return run
