"""What somebody types for a parameter: text as it is where the notebook takes text, YAML 1.2 everywhere else."""

import math

import pytest

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load

PARAMETERS = """\
zip_code = "10001"
note: str = ""
maybe: str | None = None
mode: Literal["a", "no"] = "a"
count: int = 1
rate: float = 0.5
steps = 3
flag: bool = False
items: list[str] = []
anything = None
"""

TEXTS = [
    "01234", "1.10", "no", "2024_11", "12e3", "*.csv", "@home", "%d", "[x", "", "#tag", "a #b", " padded ", "null", "true",
    "=", "<<", "a: b", "- x", "'quoted'", '"quoted"', "{", "&anchor", "!tag", "`x", "\u2028", "é", "two\nlines", "~", ".nan",
]  # fmt: skip


@pytest.fixture
def parameters(tmp_path, notebook, params):
    notebook("a", "1", parameters=PARAMETERS)
    params("p", "pipeline: p\nstages: {a: {notebook: notebooks/a.ipynb}}")

    def load_with(*flags, **environ):
        return load(("p",), Flags(flags), environ, tmp_path).stages["a"].parameters

    return load_with


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["zip_code", "note"])
def test_a_text_is_taken_as_it_was_typed(parameters, name, text):
    assert parameters(f"{name}={text}") == {name: text}
    assert parameters(f"a.{name}={text}") == {name: text}
    assert parameters(**{f"STAGEBOOK_PARAM_{name.upper()}": text}) == {name: text}
    assert parameters(**{f"STAGEBOOK_PARAM_A__{name.upper()}": text}) == {name: text}


def test_nothing_is_null_where_the_annotation_allows_it(parameters):
    assert parameters("maybe=null") == {"maybe": None}
    assert parameters("maybe=") == {"maybe": ""}
    assert parameters("maybe=nothing") == {"maybe": "nothing"}
    assert parameters("mode=no") == {"mode": "no"}


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("zip_code:='10001'", "10001"),
        ('note:="a\\n"', "a\n"),
        ("items=[a, 'b', no]", ["a", "b", "no"]),
        ("count=012", 12),
        ("rate=1e-3", 1e-3),
        ("rate=.inf", math.inf),
        ("rate=-.INF", -math.inf),
        ("flag=true", True),
        ("anything=2024_11", "2024_11"),
        ("anything=0b11", "0b11"),
        ("anything=1_0.5", "1_0.5"),
        ("anything=12:30", "12:30"),
        ("anything=0x1F", 31),
        ("anything=0o17", 15),
        ("anything==", "="),
        ("anything=<<", "<<"),
        ("anything={a: =, b: <<}", {"a": "=", "b": "<<"}),
        ("anything=null", None),
    ],
)
def test_all_else_is_yaml(parameters, flag, value):
    result = next(iter(parameters(flag).values()))
    assert (type(result), result) == (type(value), value)


@pytest.mark.parametrize(
    ("flag", "finding"),
    [
        ("count=2024_11", "'2024_11' is not int"),
        ("count=0b11", "'0b11' is not int"),
        ("steps=1_0.5", r"'1_0.5' is text, and the parameter's default is 3. If text is meant: steps:=\"1_0.5\""),
        ("rate=1234e567", "the number 1234e567 is larger than any float"),
        ("rate=", "the value is empty; nothing is written null"),
        ("items=[x", "not YAML"),
        ("items=a #b", "YAML takes '#b' for no part of the value"),
        ("items=#tag", "'#tag' is a comment in YAML"),
        ("items=&a [b]", "YAML takes '&a' for no part of the value"),
        ("items=*.csv", "not YAML|refused"),
        ("items=!x [b]", "the tag '!x' is refused"),
        ("anything={<<: {a: 1}}", "'<<' merges in YAML 1.1 only"),
        ("note=\udcff", "is not UTF-8 text"),
    ],
)
def test_what_is_no_value_is_a_finding_that_names_the_flag(parameters, flag, finding):
    with pytest.raises(InvalidParameters, match=finding) as raised:
        parameters(flag)
    assert f"-p {flag}" in str(raised.value)


def test_a_name_that_is_text_for_one_notebook_and_a_number_for_another_is_both(tmp_path, notebook, params):
    notebook("text", "1", parameters='code = "1"')
    notebook("number", "1", parameters="code: int = 1")
    stages = "{text: {notebook: notebooks/text.ipynb}, number: {notebook: notebooks/number.ipynb}}"
    params("p", f"pipeline: p\nparameters: {{code: 1}}\nstages: {stages}")
    stages = load(("p",), Flags(("code=007",)), {}, tmp_path).stages
    assert (stages["text"].parameters, stages["number"].parameters) == ({"code": "007"}, {"code": 7})


@pytest.mark.parametrize(
    ("yaml", "value"),
    [
        ("=", "="), ("2024_11", "2024_11"), ("0b11", "0b11"), ("1_0.5", "1_0.5"), ("'12'", "12"), ("no", "no"),
        ("190:20:30", "190:20:30"), ("2001-01-01", "2001-01-01"), ("0777", 777), ("+12", 12), (".5", 0.5), ("5.", 5.0),
        ("1E+3", 1000.0), ("nUll", "nUll"), ("Null", None), ("~", None), ("TRUE", True), ("yes", "yes"), ("'=': 1", {"=": 1}),
    ],
)  # fmt: skip
def test_files_are_read_by_the_core_schema_of_yaml_1_2(tmp_path, notebook, params, yaml, value):
    notebook("a", "1", parameters="free = None")
    indented = f"\n        {yaml}" if ": " in yaml else f" {yaml}"
    params(
        "p", f"pipeline: p\nstages:\n  a:\n    notebook: notebooks/a.ipynb\n    parameters:\n      free:{indented}\n"
    )
    result = load(("p",), Flags(), {}, tmp_path).stages["a"].parameters["free"]
    assert (type(result), result) == (type(value), value)


@pytest.mark.parametrize(
    ("yaml", "finding"),
    [("free: 1234e567", "p.yaml:2: .*larger than any float"), ("%YAML 1.1\n---\nfree: yes", "YAML 1.1 is asked for")],
)
def test_what_a_file_cannot_mean_has_its_line(tmp_path, params, yaml, finding):
    file = tmp_path / "params/p.yaml"
    file.parent.mkdir()
    file.write_text(yaml if yaml.startswith("%") else f"pipeline: p\n{yaml}\n")
    with pytest.raises(Exception, match=finding):
        load(("p",), Flags(), {}, tmp_path)
