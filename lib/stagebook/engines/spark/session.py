"""A Spark session for this process: through Spark Connect, or the one that exists on Databricks."""

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stagebook.engines.spark import server
from stagebook.errors import ConfigError, SparkUnavailable
from stagebook.model.pipeline import SparkSettings

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
GIVE_UP_AFTER = 5


@dataclass(frozen=True)
class Connection:
    """A session and its server's address; `pid` is the server's where it is one that we look after here."""

    session: "SparkSession"
    settings: SparkSettings
    remote: str | None = None
    pid: int | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the server has ended, as one does that was idle while its notebook was open."""
        return self.pid is not None and server.ended(self.settings, self.pid) is not None

    @property
    def answers(self) -> bool:
        """Whether anybody listens at the server's address."""
        try:
            return self.remote is None or _reach(self.remote) is None
        except SparkUnavailable:
            return False

    def forget(self) -> None:
        """Close a lost session, without waiting for its server to answer."""
        self.session.release_session_on_close = False  # pyright: ignore[reportAttributeAccessIssue]
        self.session.stop()


def connect(settings: SparkSettings) -> Connection:
    """The session. The server of this machine is started if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
    """
    if settings.remote == "databricks":
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
        session.conf.set("spark.sql.session.timeZone", "UTC")
        return Connection(session, settings)
    if not settings.needs_server:
        assert settings.remote is not None, "where no server of ours is needed, another is named"
        return Connection(_session(settings.remote), settings, settings.remote)
    found = server.ensure(settings)
    os.environ[TOKEN] = found.token
    return Connection(_session(found.remote), settings, found.remote, found.pid)


def answer(settings: SparkSettings, sql: str) -> "pa.Table":
    """The rows of a SELECT.

    Raises:
        ConfigError: it cannot be answered there: a table does not exist, or may not be read.
    """
    from pyspark.errors import PySparkException

    session = connect(settings).session
    try:
        return session.sql(sql).toArrow()
    except PySparkException as fault:
        raise ConfigError(f"Spark does not answer: {str(fault).partition(chr(10))[0]}\n  it was asked: {sql}") from None


def _session(remote: str) -> "SparkSession":
    _reach(remote)
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session = SparkSession.builder.remote(remote).create()
    # The default policy waits ten minutes for a server that is gone.
    session.client.set_retry_policies([DefaultPolicy(max_retries=GIVE_UP_AFTER, max_backoff=2000)])
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session  # pyright: ignore[reportReturnType] - the Connect session has the same methods


def _reach(remote: str) -> None:
    """Fail at once where nobody listens.

    Raises:
        SparkUnavailable: with the address.
    """
    address = remote.removeprefix("sc://").split("/")[0]  # what follows may hold a token
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port or 15002)), timeout=10):
            pass
    except OSError as fault:
        raise SparkUnavailable.of(f"no Spark server answers at sc://{address}", str(fault)) from None
