"""The Spark server of this machine: all share it, other users are refused, it ends when idle, and names its end."""

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
from conftest import SPARK
from fixtures.processes import wait_until

from stagebook.errors import SparkUnavailable
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import launch, server
from stagebook.spark.engine import SparkEngine


@pytest.fixture
def settings(java: None, request) -> Iterator[SparkSettings]:
    """Settings with a server of this test's own, stopped after it."""
    own = SparkSettings(idle_minutes=5, driver_memory_gb=1, conf={"spark.stagebook.test": request.node.name})
    yield own
    server.stop(own)


@pytest.fixture
def shared(spark) -> server.Server:
    """The server of all tests."""
    assert spark.session
    running = server.running(SPARK)
    assert running is not None
    return running


def start_in_another_process(settings: SparkSettings) -> "subprocess.Popen[str]":
    code = (
        "from stagebook.spark import server\nfrom stagebook.model.pipeline import SparkSettings\n"
        f"print(server.ensure(SparkSettings(driver_memory_gb=1, conf={dict(settings.conf)!r})).pid)"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_another_process_uses_the_same_server(shared):
    out, _ = start_in_another_process(SPARK).communicate(timeout=60)
    assert int(out) == shared.pid


def test_it_listens_on_loopback_only(shared):
    listening = [c for c in psutil.Process(shared.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert shared.port in {connection.laddr.port for connection in listening}
    assert {connection.laddr.ip.removeprefix("::ffff:") for connection in listening} == {"127.0.0.1"}


def test_only_this_user_can_read_its_address_and_token(shared):
    server_file = server._server_file(SPARK)
    assert shared.token in server_file.read_text()
    assert stat.S_IMODE(server_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(server_file.parent.stat().st_mode) == 0o700
    assert shared.token not in " ".join(psutil.Process(shared.pid).cmdline())


@pytest.mark.parametrize(
    ("token", "answer"), [(None, "UNAUTHENTICATED"), ("wrong", "UNAUTHENTICATED"), ("right", "OK")]
)
def test_a_client_without_its_token_is_refused(shared, token, answer):
    import grpc
    from pyspark.sql.connect.proto import AnalyzePlanRequest
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

    credential = shared.token if token == "right" else token
    request = AnalyzePlanRequest(session_id=str(uuid4()), spark_version=AnalyzePlanRequest.SparkVersion())
    with grpc.insecure_channel(f"127.0.0.1:{shared.port}") as channel:
        header = [("authorization", f"Bearer {credential}")] if credential else []
        try:
            SparkConnectServiceStub(channel).AnalyzePlan(request, metadata=header, timeout=30)
            code = "OK"
        except grpc.RpcError as refusal:
            code = refusal.code().name
    assert code == answer


def test_processes_that_start_it_at_once_share_one_and_it_ends_when_its_supervisor_is_killed(settings):
    starters = [start_in_another_process(settings) for _ in range(2)]
    pids = {int(process.communicate(timeout=120)[0]) for process in starters}
    assert len(pids) == 1
    shared_server = server.running(settings)
    assert shared_server is not None
    assert pids == {shared_server.pid}
    psutil.Process(shared_server.supervisor_pid).kill()
    wait_until(lambda: server.running(settings) is None, seconds=2)  # a server that is about to end is not offered
    wait_until(lambda: not psutil.pid_exists(shared_server.pid))
    new_server = server.ensure(settings)
    assert new_server.pid != shared_server.pid
    assert server.end_reason(settings, shared_server.pid) == "it is gone"
    assert server.stop(settings) == [new_server]
    assert server.end_reason(settings, new_server.pid) == "it was stopped"
    with pytest.raises(ConnectionRefusedError, match="refused"):
        socket.create_connection(("127.0.0.1", new_server.port), timeout=5)


def test_an_idle_server_ends_by_itself_but_not_while_a_client_is_connected(settings):
    idle = replace(settings, idle_minutes=2 / 60)
    started = server.ensure(idle)
    with socket.create_connection(("127.0.0.1", started.port), timeout=5):
        time.sleep(5)
        assert server.running(idle) == started
    wait_until(lambda: server.running(idle) is None, seconds=10)
    assert server.end_reason(idle, started.pid) == "it was idle"


def test_a_server_that_does_not_start_is_an_error_with_the_end_of_its_log(settings):
    bad = replace(settings, conf={**settings.conf, "spark.scheduler.mode": "UNFAIR"})
    with pytest.raises(
        SparkUnavailable, match=r"does not start: it ended .* status 1; .*UNFAIR.*\n  its log: "
    ) as error:
        server.ensure(bad)
    log = Path(str(error.value).partition("its log: ")[2].partition("\n")[0])
    assert "UNFAIR" in log.read_text()
    assert server.running(bad) is None


def test_an_open_notebook_gets_a_new_session_where_its_server_has_ended(settings, spark):
    engine = SparkEngine(settings)
    old_session = engine.session
    assert old_session is not spark.session, "each server has a session of its own"
    assert old_session.range(3).count() == 3
    server.stop(settings)
    assert engine.session is not old_session
    assert engine.session.range(4).count() == 4
    server.stop(settings)
    started_at = time.monotonic()
    engine.release()
    assert time.monotonic() - started_at < 1, "it does not wait for a server that has ended"
    assert spark.session.range(5).count() == 5


@pytest.mark.parametrize(
    ("remote", "needs"),
    [(None, True), ("spark://10.0.0.1:7077", True), ("sc://spark.example:15002", False), ("databricks", False)],
)
def test_a_connect_server_elsewhere_needs_no_server_of_this_machine(remote, needs):
    assert SparkSettings(remote=remote).needs_server is needs


def test_an_address_without_a_server_is_an_error_at_once():
    started_at = time.monotonic()
    with pytest.raises(SparkUnavailable, match="no Spark server answers at sc://localhost:1: .*refused"):
        assert SparkEngine(SparkSettings(remote="sc://localhost:1/;token=secret")).session
    assert time.monotonic() - started_at < 5


def test_the_heap_is_as_configured_or_a_third_of_the_memory():
    assert launch.driver_memory_bytes(SparkSettings(driver_memory_gb=1.5)) == 1.5 * launch.GIB
    assert launch.GIB <= launch.driver_memory_bytes(SparkSettings()) <= 16 * launch.GIB


PARAMS = """\
pipeline: p
profiles: {small: {driver_memory_gb: 1, autotermination_minutes: 3}}
spark: {conf: {spark.stagebook.test: command}}
stages: {a: {notebook: notebooks/a.ipynb, profile: small}}
"""


def test_the_command_starts_shows_and_stops_a_server(java, notebook, params, tmp_path):
    def call(*words: str) -> tuple[int, str]:
        command = subprocess.run(
            [sys.executable, "-m", "stagebook.cli", "spark", *words, "--params", "p"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return command.returncode, command.stdout or command.stderr

    notebook("a", "1")
    params("p", PARAMS)
    assert call("status") == (1, "no Spark server runs; a stage with the engine spark starts it\n")
    code, status = call("start")
    assert code == 0, status
    code, status_json = call("status", "--json")
    facts = json.loads(status_json)[0]
    assert code == 0
    assert facts["idle_minutes"] == 3
    assert facts["driver_memory_bytes"] == launch.GIB
    token = json.loads((Path(facts["log"]).with_suffix(".server")).read_text())["token"]
    assert token not in status + status_json
    assert call("status") == (0, status)
    assert "ends by itself after 3 min" in status
    assert call("stop") == (0, f"stopped process {facts['pid']}\n")
    assert call("stop") == (0, "no Spark server runs\n")
    params("p", PARAMS.replace("spark: {", "spark: {remote: sc://far:1, "))
    assert call("start") == (2, "stagebook: spark.remote is sc://far:1: there is no server of this machine to start.\n")
