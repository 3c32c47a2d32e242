"""`stagebook advise` from the command line."""

import json

import pytest

from stagebook.cli import call
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.errors import ConfigError


def output_of(capsys, *arguments) -> str:
    assert call(list(arguments)) == 0
    return capsys.readouterr().out


def test_without_a_run_the_output_says_so(priced_project, capsys):
    assert "No run of 'demo' has ended yet" in output_of(capsys, "advise")


def test_the_output_has_the_profile_the_figures_and_the_key(history, capsys):
    text = output_of(capsys, "advise")
    assert "fit: size, " in text
    assert "1.00 GiB and 1.0 of 2 cores in 4 runs" in text
    assert "    stages.fit.profile: small\n" in text
    assert "Measured on 2 cores and 8.0 GiB (laptop)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_advice_can_be_printed_as_json_and_csv(history, capsys):
    (advice,) = json.loads(output_of(capsys, "advise", "--format", "json"))
    assert (advice["rule"], advice["about"], advice["key"], advice["to"]) == (
        "size",
        "fit",
        "stages.fit.profile",
        "small",
    )
    assert advice["usd_per_run"] > 0.1
    assert output_of(capsys, "advise", "--format", "csv").startswith("rule,about,found,key,to,usd_per_run\nsize,fit,")


@pytest.mark.parametrize("name", ["dev", "dev.yaml", "params/dev.yaml"])
def test_an_applied_overlay_loads_and_leaves_nothing_to_advise(history, capsys, name):
    call(["advise", "--params", name, "--apply", "params/cheap.yaml"])
    assert "--params params/cheap.yaml" in capsys.readouterr().err
    pipeline = load(("cheap",), Flags(), {}, history)
    assert {name: stage.profile for name, stage in pipeline.stages.items()} == {"fit": "small", "check": "small"}
    assert "nothing to advise" in output_of(capsys, "advise", "--params", "cheap")


def test_an_overlay_on_several_files_comes_last(history, params, capsys):
    params("more", "parameters: {}\n")
    call(["advise", "--params", "dev", "--params", "more", "--apply", "params/cheap.yaml"])
    assert "--params dev --params more --params params/cheap.yaml" in capsys.readouterr().err
    assert load(("dev", "more", "cheap"), Flags(), {}, history).stages["fit"].profile == "small"


@pytest.mark.parametrize(
    ("out", "message"),
    [("params/dev.yaml", "is one of the files that it would change"), ("other/cheap.yaml", r"Write it to .*params/cheap.yaml")],
)  # fmt: skip
def test_an_overlay_that_would_replace_a_file_or_leave_the_project_is_refused(history, out, message):
    (history / "other").mkdir()
    with pytest.raises(ConfigError, match=message):
        call(["advise", "--apply", out])
    assert "extends" not in (history / "params/dev.yaml").read_text()
