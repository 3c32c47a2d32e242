"""A Spark session for this process: through Spark Connect, or the one that exists on Databricks."""

import os
import socket
from typing import TYPE_CHECKING

from stagebook.engines.spark import server
from stagebook.errors import SparkUnavailable
from stagebook.model.pipeline import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
GIVE_UP_AFTER = 5


def connect(settings: SparkSettings) -> "SparkSession":
    """The session. The server of this machine is started if need be.

    Raises:
        JavaMissing, SparkUnavailable: see `server.ensure`.
    """
    if settings.remote == "databricks":
        from pyspark.sql import SparkSession

        return SparkSession.builder.getOrCreate()
    remote = settings.remote
    if settings.needs_server:
        found = server.ensure(settings)
        os.environ[TOKEN], remote = found.token, found.remote
    assert remote is not None, "a server of this machine has an address"
    _reach(remote)
    return _session(remote)


def _session(remote: str) -> "SparkSession":
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    session = SparkSession.builder.remote(remote).getOrCreate()
    # The default policy waits ten minutes for a server that is gone.
    session.client.set_retry_policies([DefaultPolicy(max_retries=GIVE_UP_AFTER, max_backoff=2000)])
    session.conf.set("spark.sql.session.timeZone", "UTC")
    return session  # pyright: ignore[reportReturnType] - the Connect session has the same methods


def _reach(remote: str) -> None:
    """Fail at once where nobody listens.

    Raises:
        SparkUnavailable: with the address.
    """
    host, _, port = remote.removeprefix("sc://").split("/")[0].partition(":")
    try:
        with socket.create_connection((host, int(port or 15002)), timeout=10):
            pass
    except OSError as fault:
        raise SparkUnavailable.of(f"no Spark server answers at {remote.split(';')[0]}", str(fault)) from None
