"""The Spark server of this machine: all share it, other users are refused, it ends when idle, and names its end."""

import json
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from conftest import SPARK
from fixtures.processes import HANG_SECONDS, wait_until

from stagebook.cli import main
from stagebook.errors import SparkUnavailable
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import launch, server
from stagebook.spark.engine import SparkEngine

IDLE_SECONDS = 3.0


@pytest.fixture
def settings(java: None, request) -> Iterator[SparkSettings]:
    """Settings with a server of this test's own, stopped after it."""
    own = SparkSettings(idle_minutes=5, driver_memory_gb=1, conf={"spark.stagebook.test": request.node.name})
    yield own
    server.stop(own)


@pytest.fixture
def without_waiting(monkeypatch):
    """`with without_waiting(): …` fails where something sleeps, as clients do before they try again."""

    @contextmanager
    def fail_where_it_sleeps():
        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits {seconds} s"))
            yield

    return fail_where_it_sleeps


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
    out, _ = start_in_another_process(SPARK).communicate(timeout=HANG_SECONDS)
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
            SparkConnectServiceStub(channel).AnalyzePlan(request, metadata=header, timeout=HANG_SECONDS)
            code = "OK"
        except grpc.RpcError as refusal:
            code = refusal.code().name
    assert code == answer


def test_processes_that_start_it_at_once_share_one_and_whoever_used_it_gets_another_after_its_end(settings, spark):
    starters = [start_in_another_process(settings) for _ in range(2)]
    pids = {int(process.communicate(timeout=HANG_SECONDS)[0]) for process in starters}
    assert len(pids) == 1
    first = server.running(settings)
    assert first is not None
    assert pids == {first.pid}
    idle = replace(settings, idle_minutes=IDLE_SECONDS / 60)
    notebook = SparkEngine(idle)
    old_session = notebook.session
    assert server.running(idle) == first, "settings that differ in this share a server"
    assert old_session is not spark.session, "each server has a session of its own"
    assert old_session.range(3).count() == 3

    psutil.Process(first.supervisor_pid).kill()
    wait_until(lambda: server.running(settings) is None)  # a server that is about to end is not offered
    wait_until(lambda: not psutil.pid_exists(first.pid))
    assert notebook.session is not old_session
    assert notebook.session.range(4).count() == 4
    second = server.running(idle)
    assert second is not None
    assert second.pid != first.pid
    assert server.end_reason(settings, first.pid) == "it is gone"

    time.sleep(1.5 * IDLE_SECONDS)
    assert server.running(idle) == second, "it is not idle while a client is connected"
    notebook.session.stop()
    wait_until(lambda: server.running(idle) is None)
    assert server.end_reason(idle, second.pid) == "it was idle"
    assert spark.session.range(5).count() == 5, "another server's session goes on"


def test_a_server_that_does_not_start_is_an_error_with_the_end_of_its_log(settings):
    bad = replace(settings, conf={**settings.conf, "spark.scheduler.mode": "UNFAIR"})
    with pytest.raises(
        SparkUnavailable, match=r"does not start: it ended .* status 1; .*UNFAIR.*\n  its log: "
    ) as error:
        server.ensure(bad)
    log = Path(str(error.value).partition("its log: ")[2].partition("\n")[0])
    assert "UNFAIR" in log.read_text()
    assert server.running(bad) is None


@pytest.mark.parametrize(
    ("remote", "needs"),
    [(None, True), ("spark://10.0.0.1:7077", True), ("sc://spark.example:15002", False), ("databricks", False)],
)
def test_a_connect_server_elsewhere_needs_no_server_of_this_machine(remote, needs):
    assert SparkSettings(remote=remote).needs_server is needs


def test_an_address_without_a_server_is_an_error_without_a_retry(without_waiting):
    with (
        pytest.raises(SparkUnavailable, match="no Spark server answers at sc://localhost:1: .*refused"),
        without_waiting(),
    ):
        assert SparkEngine(SparkSettings(remote="sc://localhost:1/;token=secret")).session


def test_the_heap_is_as_configured_or_a_third_of_the_memory():
    assert launch.driver_memory_bytes(SparkSettings(driver_memory_gb=1.5)) == 1.5 * launch.GIB
    assert launch.GIB <= launch.driver_memory_bytes(SparkSettings()) <= 16 * launch.GIB


PARAMS = """\
pipeline: p
profiles: {small: {driver_memory_gb: 1, autotermination_minutes: 3}}
spark: {conf: {spark.stagebook.test: command}}
stages: {a: {notebook: notebooks/a.ipynb, profile: small}}
"""


@pytest.fixture
def command(java, notebook, params, tmp_path, monkeypatch, capsys):
    """`command("status")`: exit status and text of `stagebook spark status` in a project."""
    notebook("a", "1")
    params("p", PARAMS)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["spark", *words, "--params", "p"])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out or printed.err

    return call


def test_the_command_starts_shows_and_stops_a_server(command, params, without_waiting):
    settings = SparkSettings(conf={"spark.stagebook.test": "command"})
    assert command("status") == (1, "no Spark server runs; a stage with the engine spark starts it\n")
    code, status = command("start")
    assert code == 0, status
    code, status_json = command("status", "--json")
    facts = json.loads(status_json)[0]
    assert code == 0
    assert facts["idle_minutes"] == 3
    assert facts["driver_memory_bytes"] == launch.GIB
    token = json.loads((Path(facts["log"]).with_suffix(".server")).read_text())["token"]
    assert token not in status + status_json
    assert command("status") == (0, status)
    assert "ends by itself after 3 min" in status
    notebook_engine = SparkEngine(settings)
    assert notebook_engine.session.range(2).count() == 2
    assert command("stop") == (0, f"stopped process {facts['pid']}\n")
    assert command("stop") == (0, "no Spark server runs\n")
    assert server.end_reason(settings, facts["pid"]) == "it was stopped"
    with pytest.raises(ConnectionRefusedError, match="refused"):
        socket.create_connection(("127.0.0.1", int(facts["address"].rpartition(":")[2])), timeout=HANG_SECONDS)
    with without_waiting():
        notebook_engine.release()
    params("p", PARAMS.replace("spark: {", "spark: {remote: sc://far:1, "))
    assert command("start") == (
        2,
        "stagebook: spark.remote is sc://far:1: there is no server of this machine to start.\n",
    )
