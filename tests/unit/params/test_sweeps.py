"""What a sweep file may say, and every finding at once, with its line."""

from pathlib import Path

import pytest

from stagebook.batch.expand import expand
from stagebook.errors import ConfigError
from stagebook.model.batch import Drawn, Grid, Listed, Span
from stagebook.params.findings import InvalidParameters
from stagebook.params.sweeps import read

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sweep(tmp_path):
    """`sweep("grid: …")` reads a sweep file of that text, by its name."""

    def written(text, name="mine"):
        path = tmp_path / "params/sweeps" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return read(name, tmp_path)

    return written


def test_a_grid_keeps_where_each_value_stands(sweep):
    found = sweep("grid:\n  a.x: [1, 2]\n  y:\n    - u\n    - v\nparameters: {seed: 3}\nto: [b]\nmetric: roc_auc\n")
    assert isinstance(found.space, Grid)
    assert [setting.where for setting in found.space.over["y"]] == [f"params/sweeps/mine.yaml:{n}" for n in (4, 5)]
    assert (found.name, found.last, found.metric) == ("mine", ("b",), "roc_auc")
    assert [one.text for one in expand(found)[0]] == ["seed=3", "a.x=1", 'y="u"']


def test_a_list_is_taken_as_it_is_and_a_draw_as_it_says(sweep):
    listed = sweep("list:\n  - {x: 1}\n  - {x: 1, y: [1, 2]}\n").space
    assert isinstance(listed, Listed)
    assert [[one.text for one in found] for found in listed.configurations] == [["x=1"], ["x=1", "y=[1, 2]"]]
    drawn = sweep(
        "random:\n  trials: 5\n  seed: 3\n  over:\n    x: {low: 1, high: 9}\n    y: {low: 1e-3, high: 1, log: true}\n    z: [a, b]\n"
    ).space
    assert isinstance(drawn, Drawn)
    assert (drawn.trials, drawn.seed) == (5, 3)
    assert [source for source, _ in drawn.over.values()] == [Span(1, 9), Span(0.001, 1, log=True), ("a", "b")]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("grid: {x: [1]}\nlist: [{x: 1}]\n", ["exactly one of `grid`, `list` and `random`"]),
        ("to: [a]\n", ["exactly one of `grid`, `list` and `random`"]),
        ("grid:\n  x: []\n  y: 3\n", ["yaml:2: grid.x: ", "yaml:3: grid.y: "]),
        ("grid: {x: [1, 2, 1]}\n", ["mine.yaml:1: grid.x: 1 stands there twice."]),
        ("list:\n  - {x: 1}\n  - {x: 1}\n", ['mine.yaml:3: list: {"x": 1} stands there twice.']),
        ("grd: {x: [1]}\n", ["mine.yaml:1: grd: unknown key. Did you mean 'grid'?"]),
        ("random:\n  over: {x: {low: 3, high: 1}}\n", ["random.trials: this key is required", "`low` is less"]),
        ("random:\n  trials: 2\n  over: {x: {low: 0, high: 1, log: true}}\n", ["`log` needs a `low` above 0"]),
        ("random:\n  trials: 2\n  over: {x: {low: 0, hgih: 1}}\n", ["x.hgih: unknown key. Did you mean 'high'?"]),
        ("grid: {x: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], y: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], z: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}\n",
         ["its combinations are 1,100 configurations"]),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_with_its_place(sweep, text, lines):
    with pytest.raises(InvalidParameters, match=r"nothing was started") as refused:
        sweep(text)
    for line in lines:
        assert line in str(refused.value)


def test_a_file_that_does_not_exist_is_told_with_those_that_do(sweep, tmp_path):
    sweep("grid: {x: [1]}\n")
    with pytest.raises(ConfigError, match=r"--sweep: there is no parameter file 'mien'. Did you mean 'mine'\?"):
        read("mien", tmp_path)


def test_the_shipped_sweep_varies_train_alone_and_stops_before_anything_is_registered():
    found = read("train", ROOT)
    assert len(expand(found)) == 12
    assert {setting.name.partition(".")[0] for one in expand(found) for setting in one} == {"train"}
    assert found.last == ("validate",)
