"""The Spark server of this machine: one for all, closed to others, gone when nobody needs it, honest about its end."""

import json
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from conftest import SPARK, require_java
from fixtures.waiting import wait_until

from stagebook.engines.spark import archive, java, launch, server
from stagebook.engines.spark.archive import Archive
from stagebook.engines.spark.engine import SparkEngine
from stagebook.errors import JavaMissing, SparkUnavailable
from stagebook.model.pipeline import SparkSettings


@pytest.fixture
def settings(request) -> Iterator[SparkSettings]:
    """Settings with a server of this test's own, stopped after it."""
    require_java()
    own = SparkSettings(idle_minutes=5, driver_memory_gb=1, conf={"spark.stagebook.test": request.node.name})
    yield own
    server.stop(own)


@pytest.fixture
def shared(spark) -> server.Server:
    """The server of all tests."""
    assert spark.session
    found = server.running(SPARK)
    assert found is not None
    return found


def start_in_another_process(settings: SparkSettings) -> "subprocess.Popen[str]":
    code = (
        "from stagebook.engines.spark import server\nfrom stagebook.model.pipeline import SparkSettings\n"
        f"print(server.ensure(SparkSettings(driver_memory_gb=1, conf={dict(settings.conf)!r})).pid)"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_another_process_finds_the_same_server(shared):
    out, _ = start_in_another_process(SPARK).communicate(timeout=60)
    assert int(out) == shared.pid


def test_it_listens_on_loopback_only(shared):
    listening = [c for c in psutil.Process(shared.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert shared.port in {connection.laddr.port for connection in listening}
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in listening} == {"127.0.0.1"}


def test_only_this_user_can_read_where_it_is_and_its_token(shared):
    told = server._told(SPARK)
    assert shared.token in told.read_text()
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert stat.S_IMODE(told.parent.stat().st_mode) == 0o700
    assert shared.token not in " ".join(psutil.Process(shared.pid).cmdline())


@pytest.mark.parametrize(
    ("token", "answer"), [(None, "UNAUTHENTICATED"), ("wrong", "UNAUTHENTICATED"), ("right", "OK")]
)
def test_a_client_without_its_token_is_refused(shared, token, answer):
    import grpc
    from pyspark.sql.connect.proto import AnalyzePlanRequest
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

    known = shared.token if token == "right" else token
    request = AnalyzePlanRequest(session_id=str(uuid4()), spark_version=AnalyzePlanRequest.SparkVersion())
    with grpc.insecure_channel(f"127.0.0.1:{shared.port}") as channel:
        header = [("authorization", f"Bearer {known}")] if known else []
        try:
            SparkConnectServiceStub(channel).AnalyzePlan(request, metadata=header, timeout=30)
            code = "OK"
        except grpc.RpcError as refusal:
            code = refusal.code().name
    assert code == answer


def test_two_that_start_it_at_once_get_one_and_a_killed_keeper_takes_it_along(settings):
    first, second = start_in_another_process(settings), start_in_another_process(settings)
    pids = {int(process.communicate(timeout=120)[0]) for process in (first, second)}
    assert len(pids) == 1
    found = server.running(settings)
    assert found is not None
    assert pids == {found.pid}
    psutil.Process(found.keeper).kill()
    wait_until(lambda: server.running(settings) is None, seconds=2)  # what is about to end is not offered
    wait_until(lambda: not psutil.pid_exists(found.pid))
    again = server.ensure(settings)
    assert again.pid != found.pid
    assert server.ended(settings, found.pid) == "it is gone"
    assert server.stop(settings) == [again]
    assert server.ended(settings, again.pid) == "it was stopped"
    with pytest.raises(ConnectionRefusedError, match="refused"):
        socket.create_connection(("127.0.0.1", again.port), timeout=5)


def test_an_idle_server_ends_by_itself_but_not_while_a_client_is_connected(settings):
    idle = replace(settings, idle_minutes=2 / 60)
    found = server.ensure(idle)
    with socket.create_connection(("127.0.0.1", found.port), timeout=5):
        time.sleep(5)
        assert server.running(idle) == found
    wait_until(lambda: server.running(idle) is None, seconds=10)
    assert server.ended(idle, found.pid) == "it was idle"


def test_a_server_that_does_not_start_is_an_error_with_the_end_of_its_log(settings):
    bad = replace(settings, conf={**settings.conf, "spark.scheduler.mode": "UNFAIR"})
    with pytest.raises(
        SparkUnavailable, match=r"does not start: it ended .* status 1; .*UNFAIR.*\n  its log: "
    ) as caught:
        server.ensure(bad)
    log = Path(str(caught.value).partition("its log: ")[2].partition("\n")[0])
    assert "UNFAIR" in log.read_text()
    assert server.running(bad) is None


def test_an_open_notebook_gets_a_new_session_where_its_server_has_ended(settings, spark):
    engine = SparkEngine(settings)
    before = engine.session
    assert before is not spark.session, "each server has a session of its own"
    assert before.range(3).count() == 3
    server.stop(settings)
    assert engine.session is not before
    assert engine.session.range(4).count() == 4
    server.stop(settings)
    began = time.monotonic()
    engine.release()
    assert time.monotonic() - began < 1, "nobody is waited for who is gone"
    assert spark.session.range(5).count() == 5


def release_file(folder: Path, version: str | None) -> Path:
    (folder / "bin").mkdir()
    (folder / "bin" / "java").touch(mode=0o755)
    if version:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.1"])
def test_java_17_and_21_are_taken(tmp_path, version):
    home = release_file(tmp_path, version)
    assert java.home({"JAVA_HOME": str(home)}) == home
    assert java.home({"PATH": str(home / "bin")}) == home


@pytest.mark.parametrize(
    ("version", "message"),
    [("1.8.0_402", "Java 8"), ("11.0.2", "Java 11"), ("25", "Java 25"), ("odd", "of an unknown version")],
)
def test_other_javas_are_refused_with_what_to_do(tmp_path, version, message):
    home = release_file(tmp_path, version)
    with pytest.raises(JavaMissing, match=rf"needs Java 17 or 21, and .*/bin/java is {message}") as caught:
        java.home({"JAVA_HOME": str(home)})
    assert "apt-get install openjdk-17-jre-headless" in str(caught.value)
    assert "--engine pandas" in str(caught.value)


def test_no_java_at_all_is_said(tmp_path):
    with pytest.raises(JavaMissing, match="and there is none"):
        java.home({"PATH": str(tmp_path)})
    with pytest.raises(JavaMissing, match=f"JAVA_HOME is {tmp_path}, and there is no bin/java in it"):
        java.home({"JAVA_HOME": str(tmp_path), "PATH": "/usr/bin"})


@pytest.mark.parametrize(
    ("remote", "needs"),
    [(None, True), ("spark://10.0.0.1:7077", True), ("sc://spark.example:15002", False), ("databricks", False)],
)
def test_a_given_remote_needs_no_server_of_this_machine(remote, needs):
    assert SparkSettings(remote=remote).needs_server is needs


def test_nobody_at_a_given_address_is_said_at_once():
    started = time.monotonic()
    with pytest.raises(SparkUnavailable, match="no Spark server answers at sc://localhost:1: .*refused"):
        assert SparkEngine(SparkSettings(remote="sc://localhost:1/;token=secret")).session
    assert time.monotonic() - started < 5


def test_the_classes_are_archived_by_one_server_and_used_by_the_next(tmp_path):
    whole = archive.path(tmp_path, Path("/java"), [])
    first, second = Archive.of(whole, psutil.Process().pid), Archive.of(whole, psutil.Process().pid)
    assert f"ArchiveClassesAtExit={first.part}" in first.option
    assert second.part is None, "one is enough"
    assert first.part is not None
    first.part.write_text("classes")
    first.keep(used_seconds=60, whole=True)
    assert whole.read_text() == "classes"
    third = Archive.of(whole, psutil.Process().pid)
    assert f"SharedArchiveFile={whole}" in third.option
    assert list(tmp_path.iterdir()) == [whole]


@pytest.mark.parametrize(("seconds", "whole_one"), [(0, True), (60, False)])
def test_what_a_killed_or_an_unused_server_left_of_an_archive_goes(tmp_path, seconds, whole_one):
    whole = archive.path(tmp_path, Path("/java"), [])
    left = whole.with_name(f"{whole.name}.999999999")
    left.touch()
    unused = Archive.of(whole, psutil.Process().pid)
    assert not left.exists()
    assert unused.part is not None
    unused.part.touch()
    unused.keep(used_seconds=seconds, whole=whole_one)
    assert list(tmp_path.iterdir()) == []


def test_another_jar_is_another_archive(tmp_path):
    jar = tmp_path / "a.jar"
    jar.touch()
    before = archive.path(tmp_path, Path("/java"), [jar])
    assert archive.path(tmp_path, Path("/java"), [jar]) == before
    assert archive.path(tmp_path, Path("/java"), []) != before
    assert archive.path(tmp_path, Path("/other"), [jar]) != before


def test_the_heap_is_what_is_asked_for_or_a_third_of_the_memory():
    assert launch.driver_memory_bytes(SparkSettings(driver_memory_gb=1.5)) == 1.5 * launch.GIB
    assert launch.GIB <= launch.driver_memory_bytes(SparkSettings()) <= 16 * launch.GIB


PARAMS = """\
pipeline: p
profiles: {small: {driver_memory_gb: 1, autotermination_minutes: 3}}
spark: {conf: {spark.stagebook.test: command}}
stages: {a: {notebook: notebooks/a.ipynb, profile: small}}
"""


def test_the_command_starts_shows_and_stops_a_server(notebook, params, tmp_path):
    def call(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "stagebook.cli", "spark", *words, "--params", "p"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout or done.stderr

    require_java()
    notebook("a", "1")
    params("p", PARAMS)
    assert call("status") == (1, "no Spark server runs; a stage with the engine spark starts it\n")
    code, said = call("start")
    assert code == 0, said
    code, text = call("status", "--json")
    facts = json.loads(text)[0]
    assert code == 0
    assert facts["idle_minutes"] == 3
    assert facts["driver_memory_bytes"] == launch.GIB
    token = json.loads((Path(facts["log"]).with_suffix(".server")).read_text())["token"]
    assert token not in said + text
    assert call("status") == (0, said)
    assert "ends by itself after 3 min" in said
    assert call("stop") == (0, f"stopped process {facts['pid']}\n")
    assert call("stop") == (0, "no Spark server runs\n")
    params("p", PARAMS.replace("spark: {", "spark: {remote: sc://far:1, "))
    assert call("start") == (2, "stagebook: spark.remote is sc://far:1: there is no server of this machine to start.\n")
