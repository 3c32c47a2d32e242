"""Changes of a table that others may overtake."""

from collections.abc import Callable
from typing import TypeVar

from stagebook.errors import WriteConflict

WRITE_TRIES = 12

Done = TypeVar("Done")


def persist(change: Callable[[], Done]) -> Done:
    """The change, again from the newest version after each conflict, with growing random waits.

    Raises:
        WriteConflict: if others were faster again and again; names the last one's run.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    tries = Retrying(
        retry=retry_if_exception_type(WriteConflict),
        stop=stop_after_attempt(WRITE_TRIES),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    return tries(change)
