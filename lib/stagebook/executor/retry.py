"""Whether and when a failed attempt is repeated: pure decisions over outcomes."""

from collections.abc import Mapping
from random import Random
from typing import Any

from stagebook import errors
from stagebook.dbutils.errors import DbutilsError
from stagebook.executor.job import Outcome
from stagebook.model.pipeline import RetryPolicy
from stagebook.model.record import AttemptStatus

MAX_WAIT_SECONDS = 600.0


def _names_below(kind: type) -> set[str]:
    return {kind.__name__}.union(*(_names_below(child) for child in kind.__subclasses__()))


PERMANENT = frozenset(
    {
        *_names_below(errors.PermanentError),
        *_names_below(errors.ConfigError),
        *_names_below(DbutilsError),
        # of the kit, in the notebook or before its first cell
        "EarlyExit",
        "MissingScrap",
        "MissingTable",
        "NoSuchKernel",
        "NotIncluded",
        "UnreadableNotebook",
        # the code itself is wrong
        "ImportError",
        "IndentationError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "StdinNotImplementedError",
        "SyntaxError",
        "TabError",
        "UsageError",
        "_IncompleteInputError",
        # a query is wrong
        "AnalysisException",
        "ColumnNotFoundError",
        "ParseException",
        # a check of data has failed, and the same data come again
        "AssertionError",
        "SchemaError",
        "SchemaErrors",
        "ValidationError",
    }
)
"""Types of errors that a second attempt with the same code and the same inputs meets again."""

PERMANENT_UNLESS_NONE = frozenset({"AttributeError", "TypeError"})
"""Types of errors that come again too, such as a wrong argument, unless something was `None` for want of an answer."""


def comes_again(error: Mapping[str, Any]) -> bool:
    """Whether a second attempt meets this error again."""
    kind = error.get("type")
    return kind in PERMANENT or (kind in PERMANENT_UNLESS_NONE and "NoneType" not in str(error.get("message")))


def should_retry(outcome: Outcome, attempts_so_far: int, policy: RetryPolicy) -> bool:
    """Whether one more attempt is allowed and could help."""
    if attempts_so_far > policy.max_retries:
        return False
    match outcome.status:
        case AttemptStatus.TIMEOUT:
            return policy.retry_on_timeout
        case AttemptStatus.KERNEL_DIED:
            return True
        case AttemptStatus.FAILED:
            return not comes_again(outcome.error or {})
        case _:
            return False


def wait_seconds(policy: RetryPolicy, attempts_so_far: int, random: Random) -> float:
    """Seconds until the next attempt: `min_interval` doubled with each retry, plus jitter.

    The jitter is up to half of `min_interval`; the whole is at most ten minutes.
    """
    interval = policy.min_interval.total_seconds()
    if interval <= 0:
        return 0.0
    backoff = interval * 2.0 ** min(attempts_so_far - 1, 30)
    return min(MAX_WAIT_SECONDS, backoff + random.uniform(0, interval / 2))
