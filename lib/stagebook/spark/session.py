"""A Spark session for this process: through Spark Connect, or the existing one on Databricks."""

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagebook.errors import ConfigError, SparkUnavailable
from stagebook.model.pipeline import SparkSettings
from stagebook.spark import server

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
MAX_RETRIES = 5


@dataclass(frozen=True)
class Connection:
    """A session and its server's address; `pid` is the server's where it is the one of this machine."""

    session: "SparkSession"
    settings: SparkSettings
    remote: str | None = None
    pid: int | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the server has ended; it may have been idle while its notebook was open."""
        return self.pid is not None and server.end_reason(self.settings, self.pid) is not None

    @property
    def is_reachable(self) -> bool:
        """Whether a server listens at the address."""
        try:
            if self.remote is not None:
                _check_reachable(self.remote)
        except SparkUnavailable:
            return False
        return True

    def discard(self) -> None:
        """Close a lost session, without waiting for its server to answer."""
        self.session.release_session_on_close = False  # pyright: ignore[reportAttributeAccessIssue]
        self.session.stop()


def connect(settings: SparkSettings) -> Connection:
    """Open a session; starts the server of this machine if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
    """
    if settings.remote == "databricks":
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        return Connection(session, settings)
    if not settings.needs_server:
        assert settings.remote is not None, "settings that need no server of this machine name another"
        return Connection(_session(settings.remote), settings, settings.remote)
    local = server.ensure(settings)
    os.environ[TOKEN] = local.token
    return Connection(_session(local.remote), settings, local.remote, local.pid)


def query(settings: SparkSettings, sql: str) -> "pa.Table":
    """The rows of a SELECT.

    Raises:
        ConfigError: Spark cannot answer it: a table does not exist, or may not be read.
    """
    from pyspark.errors import PySparkException

    session = connect(settings).session
    try:
        return session.sql(sql).toArrow()
    except PySparkException as fault:
        raise ConfigError(f"Spark does not answer: {str(fault).partition(chr(10))[0]}\n  it was asked: {sql}") from None


def _session(remote: str) -> "SparkSession":
    _check_reachable(remote)
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session = SparkSession.builder.remote(remote).create()
    # The default policy waits ten minutes for a server that is gone.
    session.client.set_retry_policies([DefaultPolicy(max_retries=MAX_RETRIES, max_backoff=2000)])
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session  # pyright: ignore[reportReturnType] - the Connect session has the same methods


def _check_reachable(remote: str) -> None:
    """Fail at once where nothing listens at the address.

    Raises:
        SparkUnavailable: with the address.
    """
    address = remote.removeprefix("sc://").split("/")[0]  # the part after it may hold a token
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port or 15002)), timeout=10):
            pass
    except OSError as fault:
        raise SparkUnavailable.of(f"no Spark server answers at sc://{address}", str(fault)) from None
