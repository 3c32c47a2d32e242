"""Signals to a run: they stop it, and a later one hurries up its end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedBySignal(KeyboardInterrupt):
    """A signal came before the run had begun: there is nothing to record."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass
class StopSignals:
    """The signals that a run has got. Each sets `stop`; before `run_begins` each raises `StoppedBySignal` instead."""

    stop: threading.Event = field(default_factory=threading.Event)
    received: list[int] = field(default_factory=list)
    _begun: bool = True
    _seen: int = 0

    def handle(self, number: int, _: FrameType | None) -> None:
        """Note a signal."""
        if not self._begun:
            raise StoppedBySignal(number)
        self.received.append(number)
        self.stop.set()

    def run_begins(self) -> None:
        """From now on the end of the run is recorded, whatever comes."""
        self._begun = True

    def end_begins(self) -> None:
        """The run is being finished: what was received so far is taken into account."""
        self._seen = len(self.received)

    @property
    def is_hurried(self) -> bool:
        """Whether a signal came that was not taken into account: nothing is to be waited for."""
        return len(self.received) > self._seen


@contextmanager
def handle_signals(signals: StopSignals) -> Iterator[StopSignals]:
    """Let signals to this process go to `signals`, but not a hang-up that `nohup` ignores; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    is_ignored = {number: signal.getsignal(number) is signal.SIG_IGN for number in STOPPING}
    numbers = [number for number in STOPPING if number == signal.SIGINT or not is_ignored[number]]
    previous = {number: signal.signal(number, signals.handle) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[list[int]]:
    """Signals set `stop`; yields the numbers of those that came."""
    with handle_signals(StopSignals(stop)) as signals:
        yield signals.received


def before_the_run() -> StopSignals:
    """Signals of a run that has not begun."""
    return StopSignals(_begun=False)
