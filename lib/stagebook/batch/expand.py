"""From what a sweep says to its configurations."""

import json
import math
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any, Self

from stagebook.errors import ConfigError
from stagebook.model.batch import Drawn, Grid, Listed, Setting, Span, Sweep

_PATIENCE = 100_000
_DIGITS = 6


class TooFewConfigurations(ConfigError):
    """A sweep asks for more configurations than there are different ones."""

    @classmethod
    def of(cls, file: str, where: str, found: int, trials: int) -> Self:
        return cls(
            f"{where or file}: random.trials: {trials} configurations are asked for, and only {found} different ones "
            "were found.\n  Ask for fewer, widen what they are drawn from, or try all of them by `grid`."
        )


def expand(sweep: Sweep) -> list[tuple[Setting, ...]]:
    """The settings of each configuration, all different, in an order that is always the same.

    What all configurations have in common comes first, and gives way to what one says itself.

    Raises:
        TooFewConfigurations: fewer can be drawn than are asked for.
    """
    match sweep.space:
        case Grid(over):
            found = [tuple(chosen) for chosen in product(*over.values())]
        case Listed(configurations):
            found = list(configurations)
        case Drawn() as drawn:
            found = _drawn(drawn, sweep.file)
    return [_with(sweep.fixed, own) for own in found]


def _with(fixed: Sequence[Setting], own: Sequence[Setting]) -> tuple[Setting, ...]:
    names = {setting.name for setting in own}
    return (*(setting for setting in fixed if setting.name not in names), *own)


def _drawn(drawn: Drawn, file: str) -> list[tuple[Setting, ...]]:
    random = Random(drawn.seed)
    found: dict[str, tuple[Setting, ...]] = {}
    fruitless = 0
    while len(found) < drawn.trials:
        one = tuple(Setting(name, _pick(random, source), where) for name, (source, where) in drawn.over.items())
        key = json.dumps([setting.value for setting in one], sort_keys=True, default=str)
        fruitless = fruitless + 1 if key in found else 0
        if fruitless > _PATIENCE:
            raise TooFewConfigurations.of(file, one[0].where, len(found), drawn.trials)
        found.setdefault(key, one)
    return list(found.values())


def _pick(random: Random, source: Sequence[Any] | Span) -> Any:
    if not isinstance(source, Span):
        return random.choice(source)
    low, high = source.low, source.high
    if source.log:
        value = math.exp(random.uniform(math.log(low), math.log(high)))
    elif isinstance(low, int) and isinstance(high, int):
        value = random.randint(low, high)
    else:
        value = random.uniform(low, high)
    whole = isinstance(low, int) and isinstance(high, int)
    rounded = round(value) if whole else float(f"{value:.{_DIGITS}g}")
    return min(max(rounded, low), high)
