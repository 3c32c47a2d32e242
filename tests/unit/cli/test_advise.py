"""`stagebook advise` as it is typed."""

import json

import pytest

from stagebook.cli import app
from stagebook.errors import ConfigError
from stagebook.params.load import Flags, load


def printed(capsys, *words) -> str:
    assert app(list(words)) == 0
    return capsys.readouterr().out


def test_without_a_run_it_says_so(priced_project, capsys):
    assert "No run of 'demo' has ended yet" in printed(capsys, "advise")


def test_it_names_the_profile_the_figures_and_the_key(history, capsys):
    text = printed(capsys, "advise")
    assert "fit: size, " in text
    assert "1.00 GiB and 1.0 of 2 cores in 4 runs" in text
    assert "    stages.fit.profile: small\n" in text
    assert "Measured on 2 cores and 8.0 GiB (laptop)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_programs_get_json_and_csv(history, capsys):
    (one,) = json.loads(printed(capsys, "advise", "--format", "json"))
    assert (one["rule"], one["about"], one["key"], one["to"]) == ("size", "fit", "stages.fit.profile", "small")
    assert one["usd_per_run"] > 0.1
    assert printed(capsys, "advise", "--format", "csv").startswith("rule,about,found,key,to,usd_per_run\nsize,fit,")


@pytest.mark.parametrize("first", ["dev", "dev.yaml", "params/dev.yaml"])
def test_what_is_applied_loads_and_leaves_nothing_to_advise(history, capsys, first):
    app(["advise", "--params", first, "--apply", "params/cheap.yaml"])
    assert "--params params/cheap.yaml" in capsys.readouterr().err
    found = load(("cheap",), Flags(), {}, history)
    assert {name: stage.profile for name, stage in found.stages.items()} == {"fit": "small", "check": "small"}
    assert "nothing to advise" in printed(capsys, "advise", "--params", "cheap")


def test_over_several_files_an_overlay_comes_last(history, params, capsys):
    params("more", "parameters: {}\n")
    app(["advise", "--params", "dev", "--params", "more", "--apply", "params/cheap.yaml"])
    assert "--params dev --params more --params params/cheap.yaml" in capsys.readouterr().err
    assert load(("dev", "more", "cheap"), Flags(), {}, history).stages["fit"].profile == "small"


@pytest.mark.parametrize(
    ("out", "why"),
    [("params/dev.yaml", "is one of the files that it would change"), ("other/cheap.yaml", r"Write it to .*params/cheap.yaml")],
)  # fmt: skip
def test_a_place_where_an_overlay_would_do_harm_is_refused(history, out, why):
    (history / "other").mkdir()
    with pytest.raises(ConfigError, match=why):
        app(["advise", "--apply", out])
    assert "extends" not in (history / "params/dev.yaml").read_text()
