"""What tests of attempts share, some of it between the workers of a session."""

import os
import threading
from collections.abc import Iterator

import pytest
from filelock import FileLock
from fixtures import attempts
from fixtures.processes import wait_until

from stagebook.executor.kernels.fork_server import ForkServer


@pytest.fixture
def alone_with_kills(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other test provokes a kill of a kernel meanwhile.

    The system counts for the machine how often it has killed for lack of memory, so that a kernel that is killed while
    another one runs out of memory is taken for one that did.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if hasattr(request.config, "workerinput") else own
    with FileLock(shared / "kills.lock"):
        yield


@pytest.fixture
def server():
    """The fork server of this machine."""
    return ForkServer.start(dict(os.environ), ["pandas", "scrapbook"])


@pytest.fixture
def attempt(tmp_path, notebook, server):
    """`attempt("cell", …)` runs a notebook of these cells; returns outcome and executed notebook.

    It is stopped once `stop_when()` is true, in the second cell at the earliest.
    """

    def run(*cells, parameters=None, stop_when=None, on_cell=lambda cell: None, tags=(), **options):
        source = notebook("stage", *cells, parameters=parameters, tags=tags)
        stop = threading.Event()

        def progress(cell):
            on_cell(cell)
            if stop_when is not None and cell.cell == 2:
                threading.Thread(target=lambda: (wait_until(stop_when), stop.set())).start()

        return attempts.attempt(source, tmp_path / "out", server, stop=stop, on_cell=progress, **options)

    return run
