"""What a sweep file may say, and its way to a `Sweep`. Whether its parameters exist, the pipeline's own check tells."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from stagebook.model.batch import Drawn, Grid, Listed, Setting, Span, Sweep
from stagebook.params import merge, structure, yaml_file
from stagebook.params.basics import Strict
from stagebook.params.findings import Finding, InvalidParameters
from stagebook.params.merge import Merged

FOLDER = "params/sweeps"
MOST = 1000
"""More configurations than that are a mistake."""

Values = Annotated[list[Any], Field(min_length=1)]
Number = int | float


class DrawSpec(Strict):
    """What a parameter is drawn from: values, or numbers of a span."""

    values: Values | None = Field(default=None, description="each as likely; a plain list says the same")
    low: Number | None = Field(default=None, description="the smallest number; whole ones are drawn if both ends are")
    high: Number | None = Field(default=None, description="the largest number")
    log: bool = Field(default=False, description="whether each order of magnitude is as likely")

    @model_validator(mode="after")
    def _one_kind(self) -> "DrawSpec":
        ends = (self.low, self.high)
        if (self.values is None) == (ends == (None, None)):
            raise ValueError("it has either `values`, or `low` and `high`")
        if self.values is None and (self.low is None or self.high is None or self.low >= self.high):
            raise ValueError("`low` and `high` are both given, and `low` is less")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("`log` needs a `low` above 0")
        return self


def _listed(draw: Any) -> Any:
    return {"values": draw} if isinstance(draw, list) else draw


class RandomSpec(Strict):
    """So many configurations at random, no two alike."""

    trials: int = Field(ge=1, le=MOST, description="how many")
    seed: int = Field(default=0, description="the same seed draws the same; more trials add to fewer")
    over: dict[str, Annotated[DrawSpec, BeforeValidator(_listed)]] = Field(
        min_length=1, description="parameter → values, or `low` and `high`"
    )


class SweepSpec(Strict):
    """The whole of a sweep file. Parameters are named as `-p` names them."""

    grid: dict[str, Values] | None = Field(default=None, min_length=1, description="every combination of values")
    listed: list[dict[str, Any]] | None = Field(
        default=None, alias="list", min_length=1, max_length=MOST, description="configurations, one by one"
    )
    random: RandomSpec | None = Field(default=None, description="configurations drawn at random")
    parameters: dict[str, Any] = Field(default_factory=dict, description="the same for all configurations")
    first: list[str] = Field(default_factory=list, alias="from", description="as --from")
    last: list[str] = Field(default_factory=list, alias="to", description="as --to")
    only: list[str] = Field(default_factory=list, description="as --only")
    metric: str | None = Field(
        default=None, description="what is compared: a metric of the gate (default: its first), or `stage.scrap`"
    )
    higher_is_better: bool | None = Field(default=None, description="of a `metric` that the gate does not know")

    @model_validator(mode="after")
    def _one_way(self) -> "SweepSpec":
        if sum(way is not None for way in (self.grid, self.listed, self.random)) != 1:
            raise ValueError("a sweep has exactly one of `grid`, `list` and `random`")
        return self


def read(name: str, cwd: Path) -> Sweep:
    """The sweep of a path, or of a name that is looked up in `params/sweeps/` here or above.

    Raises:
        InvalidParameters: with all findings at once.
        ConfigError: there is no such file, or it is not YAML.
    """
    path = merge.find(name, cwd, folder=FOLDER, flag="--sweep")
    shown = merge.shown(path, cwd)
    merged = Merged()
    merge.overlay(merged, yaml_file.read(path, shown))
    merged.places[()] = f"{shown}:1"
    spec, findings = structure.parse(merged, SweepSpec)
    if spec is not None:
        findings += _repeated(spec, merged)
    if spec is None or findings:
        raise InvalidParameters.of(findings)
    return Sweep(
        name=path.stem,
        file=shown,
        space=_space(spec, merged),
        fixed=_settings(spec.parameters, ("parameters",), merged),
        first=tuple(spec.first),
        last=tuple(spec.last),
        only=tuple(spec.only),
        metric=spec.metric,
        higher_is_better=spec.higher_is_better,
    )


def _settings(values: Mapping[str, Any], key: yaml_file.Key, merged: Merged) -> tuple[Setting, ...]:
    return tuple(Setting(name, value, merged.where((*key, name))) for name, value in values.items())


def _space(spec: SweepSpec, merged: Merged) -> Grid | Listed | Drawn:
    if spec.grid is not None:
        values = {
            name: tuple(Setting(name, value, merged.where(("grid", name, place))) for place, value in enumerate(found))
            for name, found in spec.grid.items()
        }
        return Grid(values)
    if spec.listed is not None:
        return Listed(tuple(_settings(found, ("list", place), merged) for place, found in enumerate(spec.listed)))
    assert spec.random is not None
    over = {
        name: (
            _source(found),
            merged.where(("random", "over", name)),
        )
        for name, found in spec.random.over.items()
    }
    return Drawn(over, spec.random.trials, spec.random.seed)


def _source(draw: DrawSpec) -> tuple[Any, ...] | Span:
    if draw.values is not None:
        return tuple(draw.values)
    assert draw.low is not None and draw.high is not None
    return Span(draw.low, draw.high, draw.log)


def _repeated(spec: SweepSpec, merged: Merged) -> Iterator[Finding]:
    """The same value or configuration twice would be the same run twice; and a grid may be larger than it looks."""
    grid = spec.grid or {}
    lists: list[tuple[yaml_file.Key, list[Any]]] = [(("grid", name), values) for name, values in grid.items()]
    lists += [(("list",), list(spec.listed or ()))]
    over = spec.random.over if spec.random else {}
    lists += [(("random", "over", name), draw.values) for name, draw in over.items() if draw.values is not None]
    for key, values in lists:
        texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
        for place, text in enumerate(texts):
            if text in texts[:place]:
                yield Finding(merged.where((*key, place)), ".".join(map(str, key)), f"{text} stands there twice.")
    size = math.prod(map(len, grid.values()))
    if size > MOST:
        what = f"its combinations are {size:,} configurations."
        yield Finding(merged.where(("grid",)), "grid", what, f"at most {MOST:,}; `random` tries some of them")
