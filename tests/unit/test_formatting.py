"""Numbers, times and values as short, printable text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook import formatting


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (None, formatting.MISSING, formatting.MISSING),
        ("5", formatting.MISSING, formatting.MISSING),
        (float("nan"), formatting.MISSING, formatting.MISSING),
        (0, "0.00 s", "0.00 s"),
        (9.994, "9.99 s", "9.99 s"),
        (9.996, "10.0 s", "10.0 s"),
        (59.96, "1 min 00 s", "1m 00s"),
        (65.4, "1 min 05 s", "1m 05s"),
        (3599.6, "1 h 00 min", "1h 00m"),
        (7_380, "2 h 03 min", "2h 03m"),
    ],
)
def test_durations(seconds, long, short):
    assert formatting.duration(seconds) == long
    assert formatting.duration(seconds, short=True) == short


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, formatting.MISSING),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_412_377, "9.41 MB"),
        (612_000_000, "612 MB"),
        (10**18, "1,000 PB"),
    ],
)
def test_sizes(size_bytes, text):
    assert formatting.size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (336_776, "336,776"),
        (0.683214, "0.683214"),
        (float("nan"), "nan"),
        (1.5e-9, "1.5e-09"),
        (True, "True"),
        (None, formatting.MISSING),
        ("", formatting.MISSING),
        ("<b>", "<b>"),
    ],
)
def test_numbers(value, text):
    assert formatting.number(value) == text


def test_a_number_too_long_to_print_is_described():
    assert formatting.number(10**5000) == formatting.format_value(10**5000).text == "a number of more than 4,300 digits"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-11-23T02:00:04.12+00:00", "2026-11-23 02:00:04 UTC"),
        ("2026-11-23T03:30:00+02:00", "2026-11-23 01:30:00 UTC"),
        ("2026-11-23T02:00:04Z", "2026-11-23 02:00:04 UTC"),
        ("2026-11-23T02:00:04", "2026-11-23 02:00:04 UTC"),
        ("never", "never"),
        (None, formatting.MISSING),
    ],
)
def test_times_are_shown_in_utc(value, text):
    assert formatting.utc_time(value) == text


@pytest.mark.parametrize(
    ("value", "text", "note"),
    [
        (None, "null", ""),
        (True, "true", ""),
        (3, "3", ""),
        (float("inf"), "inf", ""),
        ("x" * 3000, "x" * 2000 + "…", "2,000 of 3,000 characters"),
        ({"a": [1]}, '{\n  "a": [\n    1\n  ]\n}', ""),
        ({"a": 1}, '{"a": 1}', ""),
        ({1: 2, (3,): 4}, '{"1": 2}', ""),
        ({"a": {1}}, '{"a": "{1}"}', ""),
    ],
)
def test_values_are_shown_as_short_json(value, text, note):
    assert formatting.format_value(value) == formatting.ShortText(text, note)


def test_a_huge_or_endless_value_is_encoded_only_up_to_the_limit():
    assert len(formatting.format_value([{"x": "y" * 10}] * 10**6).text) == 2001
    endless: list = []
    endless.append(endless)
    assert formatting.format_value(endless).text == "a list that has no JSON form"
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "JSON" in formatting.format_value(deep).text or formatting.format_value(deep).note


def test_no_control_character_direction_override_or_surrogate_reaches_a_page():
    text = formatting.printable("a\x00\x1b[31m\u202eb\ud800c\n\té 航班")
    assert text == "a\ufffd\ufffd[31m\ufffdb?c\n\té 航班"
    assert text.encode()


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("stages/train/attempt-1.html", "stages/train/attempt-1.html"),
        ("stages/a b/x#1?.html", "stages/a%20b/x%231%3F.html"),
        ("../../report.html", "../../report.html"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("https://198.51.100.7/", "https%3A//198.51.100.7/"),
        ("//198.51.100.7/x", None),
        ("/etc/passwd", None),
        ("\\\\198.51.100.7\\x", "%5C%5C198.51.100.7%5Cx"),
        ("", None),
    ],
)
def test_a_link_is_a_relative_path(path, link):
    assert formatting.href(path) == link


@pytest.mark.parametrize(
    ("name", "text"),
    [("train", "train"), ("a_very_long_stage_name", "a_ver…_name"), ("航班延误数据准备阶段", "航班延…阶段"), ("", "")],
)
def test_a_name_is_cut_in_the_middle_to_its_width(name, text):
    assert formatting.fit_width(name, 11) == text
    assert formatting.text_width(formatting.fit_width(name, 11)) <= 11


def test_credentials_in_an_address_are_masked():
    assert (
        formatting.without_credentials("https://ci:s3cret@mlflow.example.org/x") == "https://***@mlflow.example.org/x"
    )
    assert formatting.without_credentials("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


@pytest.mark.parametrize(("low", "high", "text"), [("1 USD", "2 USD", "1 USD – 2 USD"), ("1 USD", "1 USD", "–")])
def test_a_range_is_shown_if_its_ends_differ(low, high, text):
    assert formatting.value_range(low, high) == text


LIMIT = formatting.TextLimit(6, 60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("one line", "one line"),
        ("a\nb\nc\nd\ne\nf", "a\nb\nc\nd\ne\nf"),
        ("a\nb\nc\nd\ne\nf\ng\nh", "a\nb\nc\nd\n… 5 characters left out: all of it is in the log …\ng\nh"),
        (
            "x" * 40 + "y" * 100 + "z" * 20,
            "x" * 40 + "\n… 100 characters left out: all of it is in the log …\n" + "z" * 20,
        ),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07\x08\x9b2J\r50%\r\n100%", "red \ufffd\ufffd2J\n50%\n100%"),
    ],
)
def test_a_text_from_user_code_is_shown_with_its_beginning_and_its_end(text, shown):
    assert formatting.excerpt(text, LIMIT, "the log") == shown


def test_what_was_left_out_before_is_counted_once_more():
    recorded = formatting.excerpt("x" * 200_000, formatting.RECORDED_TEXT, "the notebook")
    shown = formatting.excerpt(recorded, formatting.TERMINAL_TEXT, "the notebook")
    left_out = int(re.search(r"([\d,]+) characters left out", shown)[1].replace(",", ""))
    assert left_out == pytest.approx(200_000 - 2_000, abs=100)


@given(st.text(alphabet=st.sampled_from("ab\n\r\x1b[0m… "), max_size=400), st.integers(3, 20), st.integers(3, 200))
def test_no_text_exceeds_its_limit_by_more_than_the_note(text, lines, characters):
    shown = formatting.excerpt(text, formatting.TextLimit(lines, characters))
    assert shown.count("\n") <= lines + 2
    assert len(shown) <= characters + 60
    assert "\x1b" not in shown and "\r" not in shown


@pytest.mark.parametrize(("number", "text"), [(0, "0 cells"), (1, "1 cell"), (2, "2 cells"), (1234, "1,234 cells")])
def test_things_are_counted(number, text):
    assert formatting.counted(number, "cell") == text
