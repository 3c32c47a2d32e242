"""A comparison shows the same rows as text, CSV, JSON and page, best first."""

import csv
import io
from decimal import Decimal

from fixtures.records import HOSTILE

from stagebook.model.batch import Batch, Comparison, Configuration, Goal, Row
from stagebook.report.comparison import columns, headline, savings, to_csv, to_html, to_json, to_text

AUC = Goal("roc_auc", True)


def row(n, value, status="succeeded", **changes):
    known = {
        "settings": {"seed": 1, "train.rate": n / 10},
        "exit_code": 0,
        "seconds": 10.0,
        "usd": Decimal("0.25"),
        "saved_seconds": 15.0,
        "saved_usd": Decimal("0.5"),
        "reused": ("data_prep", "feature_build"),
    } | changes
    return Row(n=n, run_id=f"r{n}", status=status, value=value, **known)


def comparison(*rows, best=2, goal=AUC):
    configurations = tuple(Configuration(one.n, one.run_id, one.settings) for one in rows)
    batch = Batch("batch-1", "train", "2026-11-25T18:00:00.000Z", {}, goal, configurations)
    return Comparison(batch, rows, best)


def example():
    first = row(1, 0.731, saved_seconds=0.0, saved_usd=Decimal(0), reused=())
    return comparison(first, row(2, 0.7482), row(3, None, "failed", exit_code=1, why="ValueError: no\nmore"))


def test_the_best_comes_first_and_what_has_no_figure_last():
    assert [line["n"] for line in columns(example())] == [2, 1, 3]
    assert "seed" not in columns(example())[0]  # all have the same
    low = comparison(row(1, 0.5), row(2, 0.4), goal=Goal("log_loss", False))
    assert [line["n"] for line in columns(low)] == [2, 1]


def test_the_text_says_what_is_best_and_what_was_saved():
    text = to_text(example())
    lines = text.splitlines()
    assert lines[0].split() == [
        "n",
        "train.rate",
        "roc_auc",
        "status",
        "seconds",
        "usd",
        "saved_seconds",
        "saved_usd",
        "reused",
        "run",
    ]
    assert lines[1].split() == ["2", "0.2", "0.7482", "succeeded", "10", "0.25", "15", "0.50", "2", "r2"]
    assert "configuration 3: ValueError: no" in lines
    assert headline(example()) in lines
    assert headline(example()) == "Best by roc_auc: configuration 2 with 0.7482 (train.rate=0.2)."
    assert (
        savings(example())
        == "3 configurations took 30.0 s and about 0.75 USD; reuse spared 4 stages, 30.0 s and about 1.00 USD."
    )


def test_without_a_best_the_headline_says_why():
    assert "came as far as roc_auc" in headline(comparison(row(1, None, "failed"), best=None))
    assert "neither the gate nor the sweep" in headline(comparison(row(1, None), best=None, goal=None))
    assert headline(comparison(row(2, 0.5, "gate_refused"))).endswith("; the gate let none pass.")


def test_csv_and_json_hold_the_figures_exactly():
    rows = list(csv.DictReader(io.StringIO(to_csv(example()))))
    assert [(one["n"], one["roc_auc"], one["usd"]) for one in rows] == [
        ("2", "0.7482", "0.25"),
        ("1", "0.731", "0.25"),
        ("3", "", "0.25"),
    ]
    told = to_json(example())
    assert (told["best"], told["usd"], told["saved_usd"], told["saved_seconds"]) == (2, 0.75, 1.0, 30.0)
    assert told["configurations"][2]["why"] == "ValueError: no\nmore"


def test_the_page_links_the_runs_and_shows_the_command():
    page = to_html(example(), "stagebook run --params dev.yaml -p train.rate=0.2")
    assert 'href="../r2/report.html"' in page
    assert "stagebook run --params dev.yaml -p train.rate=0.2" in page
    assert page.index("r2/report") < page.index("r1/report")
    assert "<script" not in page and "Content-Security-Policy" in page


def test_nothing_in_a_parameter_or_an_error_becomes_part_of_the_page():
    worst = "".join(HOSTILE)
    found = comparison(row(1, 0.5, settings={worst: worst}, why=worst), row(2, 0.6, settings={worst: HOSTILE[0]}))
    page = to_html(found, worst)
    assert "<script>" not in page and 'onerror="' not in page.replace("&#34;", "")
    assert to_text(found) and to_csv(found)
