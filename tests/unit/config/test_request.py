"""A run's request: kept by the journal, held on resumption, and printed as commands that can be typed."""

import shlex
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagebook.cli import build_app, call
from stagebook.config.flags import Flags
from stagebook.config.request import RunRequest
from stagebook.errors import ConfigError

FULL = RunRequest(
    params=("prod.yaml",),
    flags=Flags(
        parameters=("note=a #b", "seed:=3"), retries=2, engine="polars", max_cost=Decimal("1.50"), kernel_name="ir",
        runs_dir=Path("/data/my runs"), warehouse=Path("/data/w"),
    ),
    first=("prep",), last=("train", "test"), jobs=3, keep_going=True, reuse=False, force=("prep",),
)  # fmt: skip


def test_the_journal_keeps_all_of_a_request():
    assert RunRequest.from_json(FULL.to_json()) == FULL
    assert RunRequest.from_json({}) == RunRequest(), "of a run of an older version"


def resumed(first, **given):
    """The request of `--resume` with some options, where a run was started with `first`."""
    flags = {name: value for name, value in given.items() if name in Flags.__dataclass_fields__}
    own = {name: value for name, value in given.items() if name not in flags}
    return RunRequest(flags=Flags(**flags), resume="", given=frozenset(given), **own).resuming(first)


def test_a_resumed_run_holds_the_options_that_it_was_started_with():
    request = resumed(FULL)
    assert replace(request, resume=None, given=None, forced_before=None, force=FULL.force) == FULL
    assert (request.force, request.forced_before) == (None, ("prep",))


@pytest.mark.parametrize(
    "given",
    [
        {"jobs": 1},
        {"reuse": True},
        {"retries": 0},
        {"engine": "pandas"},
        {"max_cost": Decimal(9)},
        {"kernel_name": "x"},
    ],
)
def test_an_option_that_is_given_anew_wins(given):
    request = resumed(FULL, **given)
    (name, value), *_ = given.items()
    assert getattr(request.flags if hasattr(request.flags, name) else request, name) == value
    assert request.flags.runs_dir == FULL.flags.runs_dir


def test_a_selection_replaces_the_whole_selection_and_parameters_are_added():
    assert (resumed(FULL, only=("test",)).first, resumed(FULL, only=("test",)).only) == ((), ("test",))
    added = resumed(FULL, parameters=("seed:=3", "x=1")).flags.parameters
    assert added == ("note=a #b", "seed:=3", "x=1")


NAMES = st.text("abcé -_#'\"*=$;&\n", min_size=1, max_size=8).filter(
    lambda text: text.strip() == text and text[0] != "-"
)
STAGES = st.lists(st.text("abc", min_size=1, max_size=3), max_size=2, unique=True).map(tuple)
REQUESTS = st.builds(
    RunRequest,
    params=st.lists(NAMES, min_size=1, max_size=2).map(tuple),
    flags=st.builds(
        Flags,
        parameters=st.lists(NAMES.map(lambda text: f"x={text}"), max_size=2).map(tuple),
        retries=st.none() | st.integers(0, 5),
        engine=st.none() | st.just("pandas"),
        max_cost=st.none() | st.just(Decimal("1.5")),
        kernel_name=st.none() | st.just("ir"),
        runs_dir=st.none() | st.just(Path("my runs")),
        warehouse=st.none() | st.just(Path("/w")),
    ),
    first=STAGES,
    last=STAGES,
    only=STAGES,
    force=st.none() | STAGES,
    jobs=st.integers(1, 4),
    keep_going=st.booleans(),
    reuse=st.booleans(),
)


def parsed(command, monkeypatch):
    """The request that the command line makes of a command; nothing is run."""
    requests = []

    def note(request, environment):
        requests.append(request)
        raise ConfigError("nothing is run")

    monkeypatch.setattr("stagebook.runner.pipeline.run_pipeline", note)
    monkeypatch.setattr("stagebook.cli.threads.share", lambda jobs: None)
    with pytest.raises(ConfigError, match="nothing is run"):
        call(shlex.split(command)[1:])
    return replace(requests[0], given=None)


@settings(max_examples=40)
@given(REQUESTS)
def test_a_printed_command_asks_for_the_same_run(request):
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert parsed(request.command("stagebook run"), monkeypatch) == request
        resume = parsed(request.resume_command("stagebook run", "r1"), monkeypatch)
        assert resume == replace(request, force=None, resume="r1")


def test_a_command_names_where_runs_and_tables_are():
    where = "--params prod.yaml --runs-dir '/data/my runs' --warehouse /data/w"
    assert FULL.sync_command("uv run stagebook", "r1") == f"uv run stagebook sync {where} r1"
    assert FULL.sweep_resume_command("stagebook", "s1", 2) == f"stagebook sweep {where} --jobs 2 --resume s1"


@pytest.mark.parametrize("words", [["sync", "--params", "p", "--runs-dir", "r", "--warehouse", "w", "r1"]])
def test_the_command_that_sends_a_run_again_can_be_parsed(words):
    _, bound, _ = build_app(["sync"]).parse_args(words, print_error=False, exit_on_error=False)
    assert bound.arguments["run"] == "r1"
    assert bound.arguments["options"].params == ("p",)
