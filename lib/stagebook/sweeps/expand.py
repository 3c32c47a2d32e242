"""From a sweep to its configurations."""

import json
import math
from collections.abc import Sequence
from itertools import product
from random import Random
from typing import Any, Self

from stagebook.errors import ConfigError
from stagebook.model.sweep import ConfigurationList, GridSearch, NumberRange, ParameterSetting, RandomSearch, Sweep

_MAX_REPETITIONS = 100_000
_DIGITS = 6


class TooFewConfigurations(ConfigError):
    """A sweep asks for more configurations than there are different ones."""

    @classmethod
    def of(cls, file: str, where: str, count: int, trials: int) -> Self:
        return cls(
            f"{where or file}: random.trials: {trials} configurations are asked for, and only {count} different ones "
            "were found.\n  Ask for fewer, widen what they are drawn from, or try all of them by `grid`."
        )


def expand(sweep: Sweep) -> list[tuple[ParameterSetting, ...]]:
    """The settings of each configuration, all different, in an order that is always the same.

    Settings that all configurations share come first; a configuration's own setting replaces a shared one.

    Raises:
        TooFewConfigurations: fewer can be drawn than are asked for.
    """
    match sweep.space:
        case GridSearch(over):
            configurations = [tuple(settings) for settings in product(*over.values())]
        case ConfigurationList(listed):
            configurations = list(listed)
        case RandomSearch() as search:
            configurations = _draw(search, sweep.file)
    return [_with_shared(sweep.fixed, own) for own in configurations]


def _with_shared(shared: Sequence[ParameterSetting], own: Sequence[ParameterSetting]) -> tuple[ParameterSetting, ...]:
    names = {setting.name for setting in own}
    return (*(setting for setting in shared if setting.name not in names), *own)


def _draw(search: RandomSearch, file: str) -> list[tuple[ParameterSetting, ...]]:
    random = Random(search.seed)
    drawn: dict[str, tuple[ParameterSetting, ...]] = {}
    repetitions = 0
    while len(drawn) < search.trials:
        settings = tuple(
            ParameterSetting(name, _draw_value(random, source), where) for name, (source, where) in search.over.items()
        )
        key = json.dumps([setting.value for setting in settings], sort_keys=True, default=str)
        repetitions = repetitions + 1 if key in drawn else 0
        if repetitions > _MAX_REPETITIONS:
            raise TooFewConfigurations.of(file, settings[0].where, len(drawn), search.trials)
        drawn.setdefault(key, settings)
    return list(drawn.values())


def _draw_value(random: Random, source: Sequence[Any] | NumberRange) -> Any:
    if not isinstance(source, NumberRange):
        return random.choice(source)
    low, high = source.low, source.high
    if source.log:
        value = math.exp(random.uniform(math.log(low), math.log(high)))
    elif isinstance(low, int) and isinstance(high, int):
        value = random.randint(low, high)
    else:
        value = random.uniform(low, high)
    is_integer = isinstance(low, int) and isinstance(high, int)
    rounded = round(value) if is_integer else float(f"{value:.{_DIGITS}g}")
    return min(max(rounded, low), high)
