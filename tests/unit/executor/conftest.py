"""What tests of attempts share between the workers of a session."""

from collections.abc import Iterator

import pytest
from filelock import FileLock


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
