"""Retries: never for failures that a second attempt meets again, and with growing waits."""

import importlib
import pkgutil
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stagebook
from stagebook.errors import ConfigError, PermanentError
from stagebook.executor.job import Outcome
from stagebook.executor.retry import MAX_WAIT_SECONDS, PERMANENT, should_retry, wait_seconds
from stagebook.model.pipeline import RetryPolicy
from stagebook.model.record import AttemptStatus as A


@pytest.mark.parametrize(
    ("status", "error_type", "message", "is_retried"),
    [
        (A.FAILED, "ConnectionError", "", True),
        (A.FAILED, "OSError", "", True),
        (A.FAILED, "FileNotFoundError", "", True),
        (A.FAILED, "MemoryError", "", True),
        (A.FAILED, "KeyError", "'rate'", True),
        (A.FAILED, "ValueError", "Extra data: line 1", True),
        (A.FAILED, "UnboundLocalError", "cannot access local variable 'answer'", True),
        (A.FAILED, "TypeError", "'NoneType' object is not subscriptable", True),
        (A.FAILED, "AttributeError", "'NoneType' object has no attribute 'json'", True),
        (A.FAILED, "SystemExit", "sys.exit() with exit status 1", True),
        (A.FAILED, "WriteConflict", "", True),
        (A.FAILED, "SparkUnavailable", "", True),
        (A.FAILED, "TrackingUnavailable", "", True),
        (A.KERNEL_DIED, "KernelDied", "", True),
        (A.KERNEL_DIED, "OutOfMemory", "", True),
        (A.FAILED, "AssertionError", "", False),
        (A.FAILED, "CheckFailed", "", False),
        (A.FAILED, "SchemaViolation", "", False),
        (A.FAILED, "SchemaErrors", "", False),
        (A.FAILED, "UndeclaredTable", "", False),
        (A.FAILED, "ScrapRefused", "", False),
        (A.FAILED, "UnsafeInjection", "", False),
        (A.FAILED, "ConfigError", "", False),
        (A.FAILED, "JavaMissing", "", False),
        (A.FAILED, "MissingTable", "", False),
        (A.FAILED, "MissingScrap", "", False),
        (A.FAILED, "EarlyExit", "", False),
        (A.FAILED, "NoSuchKernel", "", False),
        (A.FAILED, "NameError", "", False),
        (A.FAILED, "SyntaxError", "", False),
        (A.FAILED, "UsageError", "Line magic function `%x` not found.", False),
        (A.FAILED, "ModuleNotFoundError", "", False),
        (A.FAILED, "NotImplementedError", "", False),
        (A.FAILED, "TypeError", "write() missing 1 required positional argument: 'name'", False),
        (A.FAILED, "TypeError", "unsupported operand type(s) for +: 'int' and 'str'", False),
        (A.FAILED, "AttributeError", "module 'pandas' has no attribute 'rad_csv'", False),
        (A.FAILED, "AttributeError", "'DataFrame' object has no attribute 'colums'", False),
        (A.TIMEOUT, "Timeout", "", False),
        (A.INTERRUPTED, "Interrupted", "", False),
        (A.SUCCEEDED, None, "", False),
    ],
)
def test_only_failures_that_could_pass_are_retried(status, error_type, message, is_retried):
    outcome = Outcome(status, {"type": error_type, "message": message, "cell": 1})
    assert should_retry(outcome, 1, RetryPolicy(max_retries=1)) is is_retried
    assert should_retry(outcome, 2, RetryPolicy(max_retries=1)) is False


def test_a_timeout_is_retried_only_where_asked():
    outcome = Outcome(A.TIMEOUT, {"type": "Timeout", "message": "", "cell": 1})
    assert should_retry(outcome, 1, RetryPolicy(max_retries=1, retry_on_timeout=True))


@given(st.integers(1, 40), st.floats(0.001, 1000), st.integers())
def test_waits_grow_and_stay_bounded(retry, interval, seed):
    policy = RetryPolicy(max_retries=99, min_interval=timedelta(seconds=interval))
    wait = wait_seconds(policy, retry, Random(seed))
    assert min(MAX_WAIT_SECONDS, policy.min_interval.total_seconds()) <= wait <= MAX_WAIT_SECONDS
    assert wait <= policy.min_interval.total_seconds() * (2 ** (retry - 1) + 0.5) * 1.0001


def test_without_an_interval_there_is_no_wait():
    assert wait_seconds(RetryPolicy(max_retries=1), 1, Random(1)) == 0


OF_THE_RUNNER = tuple(
    f"stagebook.{room}."
    for room in (
        "cache", "calibrate", "cli", "config", "costs", "databricks", "planner", "queue", "schedule", "sweeps",
        "system_tables",
    )
)  # fmt: skip
"""Rooms that no stage asks: configuration, command line, and what is done with whole runs."""


def test_the_runner_knows_every_permanent_error_by_name():
    """A kernel reports only the name of an error, so the runner must know those of modules that it does not import."""
    for module in pkgutil.walk_packages(stagebook.__path__, "stagebook."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    classes = [PermanentError, ConfigError]
    for error in classes:
        classes.extend(error.__subclasses__())
    names = {error.__name__ for error in classes if not error.__module__.startswith(OF_THE_RUNNER)}
    assert names <= PERMANENT
    permanent = {error.__module__ for error in classes if issubclass(error, PermanentError)}
    assert permanent == {"stagebook.errors", "stagebook.dbutils.errors"}
