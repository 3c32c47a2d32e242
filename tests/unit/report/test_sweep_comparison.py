"""A sweep run's comparison shows the same rows as text, CSV, JSON and page, best first."""

import csv
import io
from decimal import Decimal

from fixtures.run_records import HOSTILE

from stagebook.model.sweep import Comparison, ComparisonRow, Configuration, Objective, SweepRun
from stagebook.report.sweep_comparison import headline, savings, to_csv, to_html, to_json, to_rows, to_text

AUC = Objective("roc_auc", True)


def row(n, value, status="succeeded", **changes):
    values = {
        "settings": {"seed": 1, "train.rate": n / 10},
        "exit_code": 0,
        "seconds": 10.0,
        "usd": Decimal("0.25"),
        "saved_seconds": 15.0,
        "saved_usd": Decimal("0.5"),
        "reused": ("data_prep", "feature_build"),
    } | changes
    return ComparisonRow(n=n, run_id=f"r{n}", status=status, value=value, **values)


def comparison(*rows, best=2, objective=AUC):
    configurations = tuple(Configuration(row.n, row.run_id, row.settings) for row in rows)
    sweep_run = SweepRun("sweep-1", "train", "2026-11-25T18:00:00.000Z", {}, objective, configurations)
    return Comparison(sweep_run, rows, best)


def example():
    computed = row(1, 0.731, saved_seconds=0.0, saved_usd=Decimal(0), reused=())
    return comparison(computed, row(2, 0.7482), row(3, None, "failed", exit_code=1, reason="ValueError: no\nmore"))


def test_the_best_row_comes_first_and_rows_without_a_figure_last():
    assert [line["n"] for line in to_rows(example())] == [2, 1, 3]
    assert "seed" not in to_rows(example())[0]  # all have the same
    low = comparison(row(1, 0.5), row(2, 0.4), objective=Objective("log_loss", False))
    assert [line["n"] for line in to_rows(low)] == [2, 1]


def test_the_text_names_the_best_configuration_and_the_savings():
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
    assert savings(example()) == (
        "3 configurations took 30.0 s and about 0.75 USD; 4 stages were reused, which saved 30.0 s and about 1.00 USD."
    )


def test_the_headline_says_why_there_is_no_best_configuration():
    assert "came as far as roc_auc" in headline(comparison(row(1, None, "failed"), best=None))
    assert "neither the gate nor the sweep" in headline(comparison(row(1, None), best=None, objective=None))
    assert headline(comparison(row(2, 0.5, "gate_refused"))).endswith("; the gate let none pass.")


def test_csv_and_json_hold_the_figures_exactly():
    rows = list(csv.DictReader(io.StringIO(to_csv(example()))))
    assert [(line["n"], line["roc_auc"], line["usd"]) for line in rows] == [
        ("2", "0.7482", "0.25"),
        ("1", "0.731", "0.25"),
        ("3", "", "0.25"),
    ]
    document = to_json(example())
    assert (document["best"], document["usd"], document["saved_usd"], document["saved_seconds"]) == (2, 0.75, 1.0, 30.0)
    assert document["configurations"][2]["why"] == "ValueError: no\nmore"


def test_the_page_links_the_runs_and_shows_the_command():
    page = to_html(example(), "stagebook run --params dev.yaml -p train.rate=0.2")
    assert 'href="../r2/report.html"' in page
    assert "stagebook run --params dev.yaml -p train.rate=0.2" in page
    assert page.index("r2/report") < page.index("r1/report")
    assert "<script" not in page and "Content-Security-Policy" in page


def test_parameters_and_errors_are_escaped():
    worst = "".join(HOSTILE)
    hostile = comparison(row(1, 0.5, settings={worst: worst}, reason=worst), row(2, 0.6, settings={worst: HOSTILE[0]}))
    page = to_html(hostile, worst)
    assert "<script>" not in page and 'onerror="' not in page.replace("&#34;", "")
    assert to_text(hostile) and to_csv(hostile)
