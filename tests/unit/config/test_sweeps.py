"""Sweep files: what they contain, and all findings at once, with their lines."""

from pathlib import Path

import pytest

from stagebook.config.findings import InvalidParameters
from stagebook.config.sweeps import read
from stagebook.errors import ConfigError
from stagebook.model.sweep import ConfigurationList, GridSearch, NumberRange, RandomSearch
from stagebook.sweeps.expand import expand

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sweep(tmp_path):
    """`sweep("grid: …")` reads a sweep file of that text, by its name."""

    def read_text(text, name="mine"):
        path = tmp_path / "params/sweeps" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return read(name, tmp_path)

    return read_text


def test_a_grid_has_the_line_of_each_value(sweep):
    grid_sweep = sweep(
        "grid:\n  a.x: [1, 2]\n  y:\n    - u\n    - v\nparameters: {seed: 3}\nto: [b]\nmetric: roc_auc\n"
    )
    assert isinstance(grid_sweep.space, GridSearch)
    assert [setting.where for setting in grid_sweep.space.over["y"]] == [f"params/sweeps/mine.yaml:{n}" for n in (4, 5)]
    assert (grid_sweep.name, grid_sweep.last, grid_sweep.metric) == ("mine", ("b",), "roc_auc")
    assert [setting.text for setting in expand(grid_sweep)[0]] == ["seed:=3", "a.x:=1", 'y:="u"']


def test_a_list_gives_its_configurations_and_random_its_sources(sweep):
    listed = sweep("list:\n  - {x: 1}\n  - {x: 1, y: [1, 2]}\n").space
    assert isinstance(listed, ConfigurationList)
    assert [[setting.text for setting in settings] for settings in listed.configurations] == [
        ["x:=1"],
        ["x:=1", "y:=[1, 2]"],
    ]
    drawn = sweep(
        "random:\n  trials: 5\n  seed: 3\n  over:\n    x: {low: 1, high: 9}\n    y: {low: 1e-3, high: 1, log: true}\n    z: [a, b]\n"
    ).space
    assert isinstance(drawn, RandomSearch)
    assert (drawn.trials, drawn.seed) == (5, 3)
    assert [source for source, _ in drawn.over.values()] == [
        NumberRange(1, 9),
        NumberRange(0.001, 1, log=True),
        ("a", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("grid: {x: [1]}\nlist: [{x: 1}]\n", ["exactly one of `grid`, `list` and `random`"]),
        ("to: [a]\n", ["exactly one of `grid`, `list` and `random`"]),
        ("grid:\n  x: []\n  y: 3\n", ["yaml:2: grid.x: ", "yaml:3: grid.y: "]),
        ("grid: {x: [1, 2, 1]}\n", ["mine.yaml:1: grid.x: 1 is listed twice."]),
        ("list:\n  - {x: 1}\n  - {x: 1}\n", ['mine.yaml:3: list: {"x": 1} is listed twice.']),
        ("grd: {x: [1]}\n", ["mine.yaml:1: grd: unknown key. Did you mean 'grid'?"]),
        ("random:\n  over: {x: {low: 3, high: 1}}\n", ["random.trials: this key is required", "`low` is less"]),
        ("random:\n  trials: 2\n  over: {x: {low: 0, high: 1, log: true}}\n", ["`log` needs a `low` above 0"]),
        ("random:\n  trials: 2\n  over: {x: {low: 0, hgih: 1}}\n", ["x.hgih: unknown key. Did you mean 'high'?"]),
        ("grid: {x: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], y: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], z: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}\n",
         ["its combinations are 1,100 configurations"]),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_line(sweep, text, lines):
    with pytest.raises(InvalidParameters, match=r"nothing was started") as refused:
        sweep(text)
    for line in lines:
        assert line in str(refused.value)


def test_a_missing_sweep_file_gets_the_nearest_name(sweep, tmp_path):
    sweep("grid: {x: [1]}\n")
    with pytest.raises(ConfigError, match=r"--sweep: there is no parameter file 'mien'. Did you mean 'mine'\?"):
        read("mien", tmp_path)


def test_the_shipped_sweep_varies_train_alone_and_stops_before_anything_is_registered():
    shipped = read("train", ROOT)
    assert len(expand(shipped)) == 12
    assert {setting.name.partition(".")[0] for settings in expand(shipped) for setting in settings} == {"train"}
    assert shipped.last == ("validate",)
