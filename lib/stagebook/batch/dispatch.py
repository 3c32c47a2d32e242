"""Running the configurations of a batch: so many at once, none before what it would share with another is there."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stagebook.batch.child import NEXT_MONTH, Child
from stagebook.batch.sharing import Begun, Keys, spoiled, waits
from stagebook.model.batch import Configuration
from stagebook.model.record import RunRecord
from stagebook.run.ending import OVER_BUDGET

PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class Tools:
    """What is needed to run configurations.

    `launch` starts one, `load` gives the record of a run id, `may_start` says whether any may start now, `tell` takes
    lines for whoever looks on. `stop` is set to end early.
    """

    launch: Callable[[Configuration], Child]
    load: Callable[[str], RunRecord | None]
    tell: Callable[[str], None]
    may_start: Callable[[], bool] = lambda: True
    stop: threading.Event = field(default_factory=threading.Event)
    pause: Callable[[], None] = lambda: time.sleep(PAUSE_SECONDS)


@dataclass
class Dispatched:
    """How it went: exit statuses by number, why others were not started, and whether some are left for later."""

    codes: dict[int, int] = field(default_factory=dict)
    unstarted: dict[int, str] = field(default_factory=dict)
    left: list[Configuration] = field(default_factory=list)


def dispatch(todo: Sequence[Configuration], keys: Mapping[int, Keys], jobs: int, tools: Tools) -> Dispatched:
    """Run configurations until all have ended, none may start any more, or `stop` is set.

    One that fails ends no other, unless they share the stage that failed.

    Args: keys: of the stages of each configuration, by its number.
    """
    floor = _Floor(keys, jobs, tools, Dispatched(left=list(todo)))
    stopping = False
    while True:
        floor.gather()
        if tools.stop.is_set() and not stopping:
            stopping = True
            for _, child in floor.running.values():
                child.terminate()
        if not stopping:
            floor.start()
        if not floor.running and (stopping or not floor.done.left or not tools.may_start()):
            return floor.done
        tools.pause()


@dataclass
class _Floor:
    """What is under way: running configurations by number, and what those that have ended have left."""

    keys: Mapping[int, Keys]
    jobs: int
    tools: Tools
    done: Dispatched
    running: dict[int, tuple[Configuration, Child]] = field(default_factory=dict)
    ended: list[Begun] = field(default_factory=list)

    def start(self) -> None:
        """Start what may start now; what would only fail as another did is taken from the list."""
        if len(self.running) >= self.jobs:
            return
        others = [*self.ended, *(self._begun(one, alive=True) for one, _ in self.running.values())]
        for one in list(self.done.left):
            own = self.keys[one.n]
            if why := spoiled(own, others):
                self.done.left.remove(one)
                self.done.unstarted[one.n] = why
                self.tools.tell(f"configuration {one.n} is not started: {why}")
            elif len(self.running) < self.jobs and self.tools.may_start() and not waits(own, others):
                self.done.left.remove(one)
                self.tools.tell(f"configuration {one.n} started: {one.to_text()}")
                self.running[one.n] = (one, self.tools.launch(one))
                others.append(Begun(one.run_id, own, {}, alive=True))

    def gather(self) -> None:
        """Take out what has ended."""
        for n, (one, child) in list(self.running.items()):
            if (code := child.poll()) is not None:
                del self.running[n]
                self.done.codes[n] = code
                self.ended.append(self._begun(one, alive=False))
                shown = OVER_BUDGET if code == NEXT_MONTH else code
                self.tools.tell(f"configuration {n} ended with exit status {shown}")

    def _begun(self, one: Configuration, *, alive: bool) -> Begun:
        record = self.tools.load(one.run_id)
        stages = {} if record is None else {name: stage.status for name, stage in record.stages.items()}
        return Begun(one.run_id, self.keys[one.n], stages, alive)
