"""Sweep files: the model of one, and reading it as a `Sweep`. Its parameters are checked with those of the pipeline."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from stagebook.config import merge, structure, yaml_file
from stagebook.config.findings import Finding, InvalidParameters
from stagebook.config.merge import Merged
from stagebook.config.structure import Strict
from stagebook.model.sweep import ConfigurationList, GridSearch, NumberRange, ParameterSetting, RandomSearch, Sweep

FOLDER = "params/sweeps"
MAX_CONFIGURATIONS = 1000
"""A sweep with more configurations is refused as a mistake."""

Values = Annotated[list[Any], Field(min_length=1)]
Number = int | float


class DrawSpec(Strict):
    """What a parameter's values are drawn from: a list, or the numbers between two ends."""

    values: Values | None = Field(
        default=None,
        description="The values to draw from, all equally likely. A plain list instead of the mapping means the same.",
        examples=[[15, 31, 63]],
    )
    low: Number | None = Field(
        default=None,
        description="The smallest number. If `low` and `high` are whole numbers, whole numbers are drawn.",
        examples=[0.01],
    )
    high: Number | None = Field(default=None, description="The largest number.", examples=[0.3])
    log: bool = Field(
        default=False,
        description="Whether each order of magnitude is equally likely, instead of each number.",
        examples=[True],
    )

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


def _as_mapping(draw: Any) -> Any:
    return {"values": draw} if isinstance(draw, list) else draw


class RandomSpec(Strict):
    """Configurations drawn at random, all different."""

    trials: int = Field(ge=1, le=MAX_CONFIGURATIONS, description="How many configurations are drawn.", examples=[20])
    seed: int = Field(
        default=0,
        description="The seed of the random numbers. The same seed draws the same configurations; more trials add to"
        " them.",
        examples=[13],
    )
    over: dict[str, Annotated[DrawSpec, BeforeValidator(_as_mapping, json_schema_input_type=DrawSpec | Values)]] = (
        Field(
            min_length=1,
            description="For each parameter, what its values are drawn from: a list, or `low` and `high`.",
            examples=[
                {
                    "train.learning_rate": {"low": 0.01, "high": 0.3, "log": True},
                    "train.max_leaf_nodes": [15, 31, 63],
                }
            ],
        )
    )


class SweepSpec(Strict):
    """A complete sweep file. Parameters are named as for `-p`: `seed`, `train.max_iter`."""

    grid: dict[str, Values] | None = Field(
        default=None,
        min_length=1,
        description="For each parameter, its values; every combination is one configuration.",
        examples=[{"train.learning_rate": [0.05, 0.1], "train.max_iter": [50, 100]}],
    )
    listed: list[dict[str, Any]] | None = Field(
        default=None,
        alias="list",
        min_length=1,
        max_length=MAX_CONFIGURATIONS,
        description="The configurations one by one, each a mapping of parameters to values.",
        examples=[[{"train.max_iter": 50}, {"train.max_iter": 100, "seed": 14}]],
    )
    random: RandomSpec | None = Field(
        default=None,
        description="Configurations that are drawn at random.",
        examples=[{"trials": 20, "over": {"train.learning_rate": {"low": 0.01, "high": 0.3, "log": True}}}],
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Parameters that all configurations have.", examples=[{"seed": 14}]
    )
    first: list[str] = Field(
        default_factory=list,
        alias="from",
        description="The stages from which each configuration runs, as `--from`.",
        examples=[["feature_build"]],
    )
    last: list[str] = Field(
        default_factory=list,
        alias="to",
        description="The stages up to which each configuration runs, as `--to`. Stop before models are registered.",
        examples=[["validate"]],
    )
    only: list[str] = Field(
        default_factory=list,
        description="The stages that each configuration runs, as `--only`.",
        examples=[["+validate"]],
    )
    metric: str | None = Field(
        default=None,
        description="What is compared: a metric of the gate, or a scrap as `stage.scrap`. Default: the metric of the"
        " gate's first rule.",
        examples=["roc_auc"],
    )
    higher_is_better: bool | None = Field(
        default=None,
        description="Whether a higher value is better, for a `metric` that is a scrap.",
        examples=[False],
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "SweepSpec":
        if sum(kind is not None for kind in (self.grid, self.listed, self.random)) != 1:
            raise ValueError("a sweep has exactly one of `grid`, `list` and `random`")
        return self


def read(name: str, cwd: Path) -> Sweep:
    """The sweep in the file at a path, or with a name in `params/sweeps/` here or above.

    Raises:
        InvalidParameters: with all findings at once.
        ConfigError: there is no such file, or it is not YAML.
    """
    path = merge.find_file(name, cwd, folder=FOLDER, asker="--sweep")
    label = merge.display_path(path, cwd)
    merged = Merged()
    merge.overlay(merged, yaml_file.read(path, label))
    merged.locations[()] = f"{label}:1"
    spec, findings = structure.parse(merged, SweepSpec)
    if spec is not None:
        findings += _repeated_or_too_many(spec, merged)
    if spec is None or findings:
        raise InvalidParameters.of(findings)
    return Sweep(
        name=path.stem,
        file=label,
        space=_space(spec, merged),
        fixed=_settings(spec.parameters, ("parameters",), merged),
        first=tuple(spec.first),
        last=tuple(spec.last),
        only=tuple(spec.only),
        metric=spec.metric,
        higher_is_better=spec.higher_is_better,
    )


def _settings(values: Mapping[str, Any], key: yaml_file.Key, merged: Merged) -> tuple[ParameterSetting, ...]:
    return tuple(ParameterSetting(name, value, merged.where((*key, name))) for name, value in values.items())


def _space(spec: SweepSpec, merged: Merged) -> GridSearch | ConfigurationList | RandomSearch:
    if spec.grid is not None:
        values = {
            name: tuple(
                ParameterSetting(name, value, merged.where(("grid", name, position)))
                for position, value in enumerate(choices)
            )
            for name, choices in spec.grid.items()
        }
        return GridSearch(values)
    if spec.listed is not None:
        return ConfigurationList(
            tuple(
                _settings(configuration, ("list", position), merged)
                for position, configuration in enumerate(spec.listed)
            )
        )
    assert spec.random is not None
    over = {name: (_source(draw), merged.where(("random", "over", name))) for name, draw in spec.random.over.items()}
    return RandomSearch(over, spec.random.trials, spec.random.seed)


def _source(draw: DrawSpec) -> tuple[Any, ...] | NumberRange:
    if draw.values is not None:
        return tuple(draw.values)
    assert draw.low is not None and draw.high is not None
    return NumberRange(draw.low, draw.high, draw.log)


def _repeated_or_too_many(spec: SweepSpec, merged: Merged) -> Iterator[Finding]:
    """Values or configurations that occur twice and would give the same run twice, and a grid that is too large."""
    grid = spec.grid or {}
    by_key: dict[yaml_file.Key, list[Any]] = {("grid", name): values for name, values in grid.items()}
    by_key["list",] = list(spec.listed or ())
    over = spec.random.over if spec.random else {}
    by_key |= {("random", "over", name): draw.values for name, draw in over.items() if draw.values is not None}
    for key, values in by_key.items():
        texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
        for position, text in enumerate(texts):
            if text in texts[:position]:
                yield Finding(merged.where((*key, position)), ".".join(map(str, key)), f"{text} is listed twice.")
    size = math.prod(map(len, grid.values()))
    if size > MAX_CONFIGURATIONS:
        message = f"its combinations are {size:,} configurations."
        yield Finding(
            merged.where(("grid",)), "grid", message, f"at most {MAX_CONFIGURATIONS:,}; `random` tries some of them"
        )
