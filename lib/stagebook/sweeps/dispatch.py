"""Running the configurations of a sweep: so many at once, none before a result that it would share is there."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stagebook.model.record import RunRecord
from stagebook.model.sweep import Configuration
from stagebook.runner.outcome import OVER_BUDGET
from stagebook.runner.run_process import MONTH_SPENT, RunProcess
from stagebook.sweeps.shared_stages import StageKeys, StartedConfiguration, doomed_reason, must_wait

PAUSE_SECONDS = 0.3


@dataclass(frozen=True)
class DispatchTools:
    """What is needed to run configurations.

    `launch` starts one, `load` gives the record of a run id, `may_start` says whether any may start now, `show` takes
    lines about the progress. `stop` is set to end early.
    """

    launch: Callable[[Configuration], RunProcess]
    load: Callable[[str], RunRecord | None]
    show: Callable[[str], None]
    may_start: Callable[[], bool] = lambda: True
    stop: threading.Event = field(default_factory=threading.Event)
    pause: Callable[[], None] = lambda: time.sleep(PAUSE_SECONDS)


@dataclass
class DispatchResult:
    """Exit statuses by number, why configurations were not started, and those that are still to run."""

    codes: dict[int, int] = field(default_factory=dict)
    unstarted: dict[int, str] = field(default_factory=dict)
    remaining: list[Configuration] = field(default_factory=list)


def dispatch(
    configurations: Sequence[Configuration], keys: Mapping[int, StageKeys], jobs: int, tools: DispatchTools
) -> DispatchResult:
    """Run configurations until all have ended, none may start any more, or `stop` is set.

    One that fails ends no other, unless they share the stage that failed.

    Args: keys: of the stages of each configuration, by its number.
    """
    dispatcher = _Dispatcher(keys, jobs, tools, DispatchResult(remaining=list(configurations)))
    stopping = False
    while True:
        dispatcher.collect_ended()
        if tools.stop.is_set() and not stopping:
            stopping = True
            for _, process in dispatcher.running.values():
                process.terminate()
        if not stopping:
            dispatcher.start_ready()
        is_idle = stopping or not dispatcher.result.remaining or not tools.may_start()
        if not dispatcher.running and is_idle:
            return dispatcher.result
        tools.pause()


@dataclass
class _Dispatcher:
    """Running configurations by number, and the ended ones with the stages that they finished."""

    keys: Mapping[int, StageKeys]
    jobs: int
    tools: DispatchTools
    result: DispatchResult
    running: dict[int, tuple[Configuration, RunProcess]] = field(default_factory=dict)
    ended: list[StartedConfiguration] = field(default_factory=list)

    def start_ready(self) -> None:
        """Start what may start now; what would only fail as another one did is dropped."""
        if len(self.running) >= self.jobs:
            return
        running = [self._started(configuration, alive=True) for configuration, _ in self.running.values()]
        started = [*self.ended, *running]
        for configuration in list(self.result.remaining):
            n, own = configuration.n, self.keys[configuration.n]
            if reason := doomed_reason(own, started):
                self.result.remaining.remove(configuration)
                self.result.unstarted[n] = reason
                self.tools.show(f"configuration {n} is not started: {reason}")
            elif len(self.running) < self.jobs and self.tools.may_start() and not must_wait(own, started):
                self.result.remaining.remove(configuration)
                self.tools.show(f"configuration {n} started: {configuration.to_text()}")
                self.running[n] = (configuration, self.tools.launch(configuration))
                started.append(StartedConfiguration(configuration.run_id, own, {}, alive=True))

    def collect_ended(self) -> None:
        """Take out what has ended."""
        for n, (configuration, process) in list(self.running.items()):
            if (code := process.poll()) is not None:
                del self.running[n]
                self.result.codes[n] = code
                self.ended.append(self._started(configuration, alive=False))
                status = OVER_BUDGET if code == MONTH_SPENT else code
                self.tools.show(f"configuration {n} ended with exit status {status}")

    def _started(self, configuration: Configuration, *, alive: bool) -> StartedConfiguration:
        record = self.tools.load(configuration.run_id)
        stages = {} if record is None else {name: stage.status for name, stage in record.stages.items()}
        return StartedConfiguration(configuration.run_id, self.keys[configuration.n], stages, alive)
