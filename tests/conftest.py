"""What all tests share: tiny notebooks and projects in a temporary folder, and one Spark server."""

import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from fixtures.real_year import Ran, ran

from stagebook.engines.base import Engine
from stagebook.engines.open import open_engine
from stagebook.engines.spark import java, server
from stagebook.engines.spark.engine import SparkEngine
from stagebook.errors import JavaMissing
from stagebook.execute.host import client as hosts
from stagebook.model.pipeline import SparkSettings

Write = Callable[..., Path]

# One server for all tests, workers and pipelines that they start; a machine's own servers are left alone.
os.environ["STAGEBOOK_STATE_DIR"] = str(Path(tempfile.gettempdir()) / f"stagebook-tests-{os.getuid()}")
# The fast compiler alone: what tests compute is small. It would have a cache for 48 MB of code, which all tests fill.
os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"

# OpenMP's threads spin while they wait for each other, on cores that another worker of the tests wants.
os.environ["OMP_WAIT_POLICY"] = "passive"

SPARK = SparkSettings(idle_minutes=5, driver_memory_gb=2)


FOUND = pytest.StashKey[bool]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note whether a server runs already: it is another session's."""
    session.config.stash[FOUND] = server.running(SPARK) is not None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End kernel hosts after the last test, and the server, unless it was there before."""
    if not hasattr(session.config, "workerinput"):
        hosts.stop()
        if not session.config.stash[FOUND]:
            server.stop(SPARK)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that run whole pipelines come first, so that no worker has one left when the others are done."""
    items.sort(key=lambda item: (item.get_closest_marker("pipeline") is None, "pipeline" not in item.path.parts))


def require_java() -> None:
    """Skip a test where there is no Java, and say so; under CI there must be one."""
    try:
        java.home()
    except JavaMissing as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing).partition("\n")[0])


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkEngine]:
    """The Spark engine, on the server of this machine."""
    require_java()
    engine = SparkEngine(SPARK)
    yield engine
    engine.release()
    engine.session.stop()  # else it says goodbye at the end of the process, to a server that is gone by then


@pytest.fixture(params=["pandas", "polars", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, for the tests that all of them must pass."""
    return request.getfixturevalue("spark") if request.param == "spark" else open_engine(request.param, SPARK)


@pytest.fixture(scope="session")
def real_year(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """`real_year("polars")`: the shipped pipeline, run on an engine once for all workers of this session."""
    own = tmp_path_factory.getbasetemp()
    base = own.parent if hasattr(request.config, "workerinput") else own

    def run(engine: str) -> Ran:
        if engine == "spark":
            require_java()
        return ran(engine, base)

    return run


@pytest.fixture
def notebook(tmp_path: Path) -> Write:
    """`notebook("a", "x = 1", …, parameters="y: int = 2")` writes `notebooks/a.ipynb`; returns its path."""

    def write(name: str, *cells: str, parameters: str | None = None) -> Path:
        nodes = [nbformat.v4.new_code_cell(textwrap.dedent(cell)) for cell in cells]
        if parameters is not None:
            tagged = nbformat.v4.new_code_cell(textwrap.dedent(parameters), metadata={"tags": ["parameters"]})
            nodes.insert(0, tagged)
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)
        return path

    return write


@pytest.fixture
def params(tmp_path: Path) -> Write:
    """`params("dev", "stages: …")` writes `params/dev.yaml`; returns its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "params" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write
