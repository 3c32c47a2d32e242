"""Parameter files as YAML 1.2, and what is refused."""

import pytest

from stagebook.params.yaml_file import InvalidYaml, parse, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("no", "no"),
        ("yes", "yes"),
        ("012", 12),
        ("12:30", "12:30"),
        ("true", True),
        ("null", None),
        ("2013-01-01", "2013-01-01"),
        ("2013-01-01T05:00:00Z", "2013-01-01T05:00:00Z"),
        ("[a, 1, {b: 2.5}]", ["a", 1, {"b": 2.5}]),
        ("'3'", "3"),
        ("", None),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


BOMB = "a: &a [x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2\n", r"f.yaml:2: .*'a' stands twice|duplicate key"),
        (BOMB, r"f.yaml:2: the alias '\*a' is refused"),
        ("a: !!python/object/apply:os.system [ls]\n", r"f.yaml:1: the tag .* is refused"),
        ("a: [1\nb: 2\n", r"f.yaml:\d: this is not YAML"),
        ("- 1\n- 2\n", r"f.yaml:1: a parameter file is a mapping"),
        ("1: x\n", r"f.yaml:1: the key 1 is not text"),
        ("a: " + "[" * 60 + "]" * 60, "deeper than 40 levels"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text, why):
    with pytest.raises(InvalidYaml, match=why):
        parse(text, "f.yaml")


def test_every_key_knows_its_line():
    document = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n", "f.yaml")
    assert document.values == {"a": {"b": 1, "c": ["x", "y"]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 1)] == 5
