"""What all tests share: tiny notebooks and projects in a temporary folder, and one Spark server."""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fixtures.projects import write_notebook, write_params
from fixtures.real_year import RealYearRun, shared_run
from fixtures.spark_sessions import suit_tiny_tables

from stagebook.delta.engine import Engine
from stagebook.engines.open import open_engine
from stagebook.errors import JavaMissing
from stagebook.executor.kernels import fork_server
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import server
from stagebook.spark.engine import SparkEngine
from stagebook.spark.java import home as java_home

Write = Callable[..., Path]

# One server for all tests, workers and pipelines that they start; a machine's own servers are left alone.
os.environ["STAGEBOOK_STATE_DIR"] = str(Path(tempfile.gettempdir()) / f"stagebook-tests-{os.getuid()}")
# The fast compiler alone: what tests compute is small. It would have a cache for 48 MB of code, which all tests fill.
os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"

# OpenMP's threads spin while they wait for each other, on cores that another worker of the tests wants.
os.environ["OMP_WAIT_POLICY"] = "passive"

SPARK = SparkSettings(idle_minutes=5, driver_memory_gb=2)


RAN_BEFORE = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the examples of property tests, where tests are run: to import hypothesis takes most of a second."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses"):
        from fixtures.properties import load_profile

        load_profile(campaign=is_campaign(config))


def is_campaign(config: pytest.Config) -> bool:
    """Whether the session was asked for campaigns: `-m campaign`."""
    return config.getoption("markexpr") == "campaign"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Note whether a server runs already: it is another session's."""
    session.config.stash[RAN_BEFORE] = server.running(SPARK) is not None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the fork servers after the last test, and the Spark server, unless it ran before."""
    if not hasattr(session.config, "workerinput"):
        fork_server.stop()
        if not session.config.stash[RAN_BEFORE]:
            server.stop(SPARK)


NOT_FAST = ("spark", "browser", "emulator", "pipeline", "slow", "campaign")
LONGEST_FIRST = ("emulator", "pipeline", "spark", "slow")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs Spark, what runs whole pipelines, and all that is fast; begin with what takes longest.

    Each worker runs the tests of a file, so that a long file that is started last would be waited for.
    """
    for item in items:
        if is_campaign(item.config) and hasattr(getattr(item, "obj", None), "hypothesis"):
            item.add_marker("campaign")
        if item.get_closest_marker("campaign"):
            continue  # this marker alone selects it
        if needs_java(item):
            item.add_marker("spark")
        if item.path.parent.name in ("pipeline", "parity"):
            item.add_marker("pipeline")
        if not any(item.get_closest_marker(name) for name in NOT_FAST):
            item.add_marker("fast")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in LONGEST_FIRST])


def needs_java(item: pytest.Item) -> bool:
    """Whether the test asks for Java, for Spark, or is the test of all engines for Spark."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return "java" in getattr(item, "fixturenames", ()) or "spark" in (
        parameters.get("engine"),
        parameters.get("engine_name"),
    )


@pytest.fixture(scope="session")
def java() -> None:
    """Skip a test where there is no Java, and say so; under CI there must be one."""
    try:
        java_home()
    except JavaMissing as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing).partition("\n")[0])


@pytest.fixture(scope="session")
def spark(java: None) -> Iterator[SparkEngine]:
    """The Spark engine, on the server of this machine."""
    engine = SparkEngine(SPARK)
    suit_tiny_tables(engine.session)
    yield engine
    engine.release()
    engine.session.stop()  # else it says goodbye at the end of the process, to a server that is gone by then


@pytest.fixture(params=["pandas", "polars", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn, for the tests that all of them must pass."""
    return request.getfixturevalue("spark") if request.param == "spark" else open_engine(request.param, SPARK)


@pytest.fixture(scope="session")
def real_year(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RealYearRun]:
    """`real_year("polars")`: the shipped pipeline, run on an engine once for all workers of this session."""
    own = tmp_path_factory.getbasetemp()
    base = own.parent if hasattr(request.config, "workerinput") else own

    def run(engine: str) -> RealYearRun:
        if engine == "spark":
            request.getfixturevalue("java")
        return shared_run(engine, base)

    return run


@pytest.fixture
def notebook(tmp_path: Path) -> Write:
    """`notebook("a", "x = 1", …, parameters="y: int = 2")` writes `notebooks/a.ipynb`; returns its path."""
    return partial(write_notebook, tmp_path)


@pytest.fixture
def params(tmp_path: Path) -> Write:
    """`params("dev", "stages: …")` writes `params/dev.yaml`; returns its path."""
    return partial(write_params, tmp_path)
