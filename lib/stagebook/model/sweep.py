"""Sweeps over parameters: the space, its configurations, a run of them, and their comparison."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Self


@dataclass(frozen=True)
class ParameterSetting:
    """One parameter as `-p` names it (`seed`, or `train.max_iter` for one stage), its value, and where it is set."""

    name: str
    value: Any
    where: str = ""

    @property
    def text(self) -> str:
        """`name:=value`, as `-p` takes a value of any type."""
        return f"{self.name}:={_yaml(self.value)}"


def _yaml(value: Any) -> str:
    """A value in one line of YAML, which is JSON but for numbers that are not finite."""
    match value:
        case float() if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case list() | tuple():
            return f"[{', '.join(map(_yaml, value))}]"
        case dict():
            items = (f"{json.dumps(str(name), ensure_ascii=False)}: {_yaml(item)}" for name, item in value.items())
            return f"{{{', '.join(items)}}}"
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class NumberRange:
    """What a number is drawn from, both ends included; whole where both ends are. `log`: each magnitude alike."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class GridSearch:
    """Every combination of the values."""

    over: Mapping[str, tuple[ParameterSetting, ...]]


@dataclass(frozen=True)
class ConfigurationList:
    """These configurations, as they are written."""

    configurations: tuple[tuple[ParameterSetting, ...], ...]


@dataclass(frozen=True)
class RandomSearch:
    """`trials` configurations at random, no two alike; `over` says from what each parameter is drawn, and where."""

    over: Mapping[str, tuple[tuple[Any, ...] | NumberRange, str]]
    trials: int
    seed: int


@dataclass(frozen=True)
class Objective:
    """The figure that says which configuration is best.

    `metric` is one of the gate's, judged on the whole hold-out; or `stage.scrap`, or `stage.scrap.key`.
    """

    metric: str
    higher_is_better: bool

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`."""
        return value > than if self.higher_is_better else value < than


@dataclass(frozen=True)
class Sweep:
    """A sweep file's content. `fixed` holds for all configurations; `first`, `last` and `only` are the part that runs.

    `metric` and `higher_is_better` are None where the gate says them.
    """

    name: str
    file: str
    space: GridSearch | ConfigurationList | RandomSearch
    fixed: tuple[ParameterSetting, ...] = ()
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    metric: str | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class Configuration:
    """One run of a sweep: what it sets, and the id that it has or will have."""

    n: int
    run_id: str
    settings: Mapping[str, Any]

    def to_text(self) -> str:
        """`train.max_iter=50, train.learning_rate=0.1`."""
        return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in self.settings.items())


@dataclass(frozen=True)
class SweepRun:
    """Configurations of one sweep, each an ordinary run. `request` is what all of them ask for, as in a journal."""

    id: str
    sweep: str
    started_at: str
    request: Mapping[str, Any]
    objective: Objective | None
    configurations: tuple[Configuration, ...]
    finished_at: str | None = None
    exit_code: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The sweep run that `to_json` has written."""
        objective = None if value["objective"] is None else Objective(**value["objective"])
        configurations = tuple(Configuration(**fields) for fields in value["configurations"])
        return cls(**{**value, "objective": objective, "configurations": configurations})


@dataclass(frozen=True)
class ComparisonRow:
    """How one configuration ended. `status` is a run's, or `gate_refused`, `over_budget`, `not_started`.

    `seconds` and `usd` are of the stages that it ran itself; `saved_*` is what its reused results had taken.
    """

    n: int
    run_id: str
    settings: Mapping[str, Any]
    status: str
    exit_code: int | None
    value: float | None = None
    seconds: float = 0.0
    usd: Decimal = Decimal(0)
    saved_seconds: float = 0.0
    saved_usd: Decimal = Decimal(0)
    reused: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """A sweep run as one table. `best` is the number of the best configuration, None where none has the figure."""

    sweep_run: SweepRun
    rows: tuple[ComparisonRow, ...]
    best: int | None

    @property
    def varied(self) -> tuple[str, ...]:
        """The parameters that any two configurations set differently."""
        names = dict.fromkeys(name for row in self.rows for name in row.settings)
        values = {name: {json.dumps(row.settings.get(name, "")) for row in self.rows} for name in names}
        return tuple(name for name in names if len(values[name]) > 1 or len(self.rows) == 1)

    @property
    def winner(self) -> ComparisonRow | None:
        """The row of the best configuration."""
        return next((row for row in self.rows if row.n == self.best), None)

    @property
    def seconds(self) -> float:
        return sum(row.seconds for row in self.rows)

    @property
    def usd(self) -> Decimal:
        return sum((row.usd for row in self.rows), Decimal(0))

    @property
    def saved_seconds(self) -> float:
        return sum(row.saved_seconds for row in self.rows)

    @property
    def saved_usd(self) -> Decimal:
        return sum((row.saved_usd for row in self.rows), Decimal(0))
