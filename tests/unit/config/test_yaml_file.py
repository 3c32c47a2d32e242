"""Parameter files as YAML 1.2, and what is refused."""

import pytest

from stagebook.config.yaml_file import InvalidYaml, parse, parse_value, read


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
def test_values_mean_what_they_look_like(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


BOMB = "a: &a [x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\na: 2\n", r"f.yaml:2: .*'a' occurs twice|duplicate key"),
        (BOMB, r"f.yaml:2: the alias '\*a' is refused"),
        ("a: !!python/object/apply:os.system [ls]\n", r"f.yaml:1: the tag .* is refused"),
        ("a: [1\nb: 2\n", r"f.yaml:\d: this is not YAML"),
        ("- 1\n- 2\n", r"f.yaml:1: the file must be a mapping"),
        ("1: x\n", r"f.yaml:1: the key 1 is not text"),
        ("a: " + "[" * 60 + "]" * 60, "deeper than 40 levels"),
    ],
)
def test_refused_yaml_is_reported_with_its_line(text, reason):
    with pytest.raises(InvalidYaml, match=reason):
        parse(text, "f.yaml")


def test_every_key_has_its_line():
    document = parse("a:\n  b: 1\n  c:\n    - x\n    - y\n", "f.yaml")
    assert document.values == {"a": {"b": 1, "c": ["x", "y"]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 1)] == 5


def test_aliases_and_merge_keys_are_read_where_they_are_allowed():
    text = "a: &a {x: 1, y: [1]}\nb: {<<: *a, x: 2}\nc: {<<: [*a, {x: 3, z: 4}]}\nd: *a\n"
    document = parse(text, "f.yaml", allow_aliases=True)
    assert document.values["b"] == {"x": 2, "y": [1]}
    assert document.values["c"] == {"x": 1, "y": [1], "z": 4}
    assert document.values["d"] == {"x": 1, "y": [1]}
    assert (document.lines[("b", "x")], document.lines[("b", "y")]) == (2, 1)
    with pytest.raises(InvalidYaml, match="aliases grow to more than"):
        parse(BOMB.replace("x,x", ",".join("x" * 2000)), "f.yaml", allow_aliases=True)
    with pytest.raises(InvalidYaml, match="the alias"):
        parse(text, "f.yaml")


def test_an_alias_to_itself_is_refused():
    with pytest.raises(InvalidYaml, match="aliases grow"):
        parse("a: &a [*a]\n", "f.yaml", allow_aliases=True)


def test_json_may_be_indented_by_tabs(tmp_path):
    (tmp_path / "f.json").write_text('{\n\t"a": {\n\t\t"b": 1\n\t}\n}\n')
    document = read(tmp_path / "f.json", "f.json")
    assert (document.values, document.lines[("a", "b")]) == ({"a": {"b": 1}}, 3)
