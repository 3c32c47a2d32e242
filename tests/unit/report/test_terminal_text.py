"""Text as a terminal shows it, and the two ends of a long one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.report import terminal_text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\ntext\n", "plain\ntext\n"),
        ("a\r 10%\r100%\nnext\r\n", "100%\nnext\n"),
        ("100%|####|\r 50%", " 50%|####|"),
        ("abc\b\bX", "aXc"),
        ("\b\bX", "X"),
        ("one\ntwo\n\x1b[A\x1b[Athree", "three\ntwo\n"),
        ("\n\rbar 2: 1%\x1b[A\rbar 1: 1%\n\rbar 2: 9%\x1b[A", "bar 1: 1%\nbar 2: 9%"),
        ("long line\r\x1b[Kshort", "short"),
        ("\x1b[31mred\x1b[0m\rnew", "new\x1b[0m"),
        ("\x1b[31mAAA\x1b[0m", "\x1b[31mAAA\x1b[0m"),
    ],
)
def test_a_progress_bar_writes_over_itself(text, seen):
    assert terminal_text.overwritten(text) == seen


@given(st.lists(st.sampled_from(["a", "bc", "\r", "\n", "\b", "\x1b[A", "\x1b[2A", "\x1b[K", "A", "K"]), max_size=40))
def test_any_sequence_of_moves_leaves_no_moves(pieces):
    seen = terminal_text.overwritten("".join(pieces))
    assert not {"\r", "\b", "\x1b"} & set(seen)


@given(st.text(st.sampled_from("ab<\n\x1b["), max_size=3000), st.integers(0, 2000))
def test_a_bounded_text_has_its_size_and_its_end(text, limit):
    kept = terminal_text.bounded(text, limit)
    assert terminal_text.size_on_page(kept) <= max(limit, 0) + 200
    if terminal_text.size_on_page(text) <= limit:
        assert kept == text


@pytest.mark.parametrize(
    ("sizes", "total", "limit"),
    [([], 10, 10), ([3, 3], 10, 10), ([1, 100], 10, 9), ([1, 100, 100], 11, 5), ([50, 50, 50], 30, 10)],
)
def test_only_the_largest_are_cut(sizes, total, limit):
    assert terminal_text.fair_limit(sizes, total) == limit


@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(0, 3000))
def test_a_fair_limit_keeps_the_total(sizes, total):
    limit = terminal_text.fair_limit(sizes, total)
    assert sum(min(size, limit) for size in sizes) <= total
