"""Parameter files that are malformed: each is refused with its place, before anything starts. One row a case."""

import random
from pathlib import Path

import pytest

from stagebook.cli import main
from stagebook.config.flags import Flags
from stagebook.config.load import load
from stagebook.errors import ConfigError

GOOD = """\
pipeline: p
parameters: {n: 3}
defaults: {max_retries: 1, timeout_seconds: 60}
stages:
  a:
    notebook: notebooks/a.ipynb
    writes: [t]
    parameters: {n: 4}
  b:
    notebook: notebooks/a.ipynb
    depends_on: [a]
    reads: [t]
    profile: small
tables: {engine: pandas}
tracking: {experiment: e}
gate: [{metric: roc_auc, threshold: 0.6}]
notifications: {on: [failure]}
profiles: {small: {node_type_id: r5.xlarge, num_workers: 0}}
schedule: {quartz_cron_expression: 0 0 2 * * ?, timezone_id: UTC}
queue: {enabled: true}
max_concurrent_runs: 1
pools: {memory_gb: 12}
cost: {discount: 0.1}
budget: {max_usd_per_run: 5}
runs_dir: runs
warehouse: warehouse
"""


@pytest.fixture
def project(tmp_path, notebook) -> Path:
    """A project with the notebook that the files name."""
    notebook("a", "1", parameters="n: int = 1\ngate: list = []")
    (tmp_path / "params").mkdir(exist_ok=True)
    return tmp_path


def refusal(project: Path, data: str | bytes) -> str:
    """The message that refuses a parameter file with this content."""
    file = project / "params/bad.yaml"
    file.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as caught:
        load(("bad",), Flags(), {}, project)
    return str(caught.value)


def test_the_good_file_is_good(project):
    (project / "params/bad.yaml").write_text(GOOD)
    assert list(load(("bad",), Flags(), {}, project).stages) == ["a", "b"]


BOMB = "a: &a [x,x]\n" + "".join(f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))

FILES: list[tuple[str | bytes, str]] = [
    ("", "1: stages: this key is required"),
    ("\n\n", "1: stages: this key is required"),
    ("# only a comment\n", "1: stages: this key is required"),
    ("---\n", "the file must be a mapping|1: stages"),
    ("---\n---\n", "2: this is not YAML"),
    ("null\n", "1: the file must be a mapping"),
    ("text\n", "1: the file must be a mapping"),
    ("3\n", "1: the file must be a mapping"),
    ("- a\n- b\n", "1: the file must be a mapping"),
    ("a: 1\n---\nb: 2\n", "this is not YAML"),
    (b"\xff\xfea\x00:\x00", "1: this is not UTF-8"),
    (b"a: 1\nb: \xe9\n", "2: this is not UTF-8"),
    (b"a: 1\n\nb: \x80\n", "3: this is not UTF-8"),
    (b"a: \xed\xa0\x80\n", "1: this is not UTF-8"),
    (b"\x00" * 50, "1: this is not YAML"),
    (b"pipeline: a\x00b\n", "1: this is not YAML"),
    (b"pipeline: p\nx: \x07\n", "2: this is not YAML"),
    (b"pipeline: p\n# \x1b[31m\n", "2: this is not YAML"),
    (b"PK\x03\x04", "1: this is not YAML"),
    ("\tpipeline: p\n", "1: this is not YAML"),
    ("stages:\n\ta: 1\n", "2: this is not YAML"),
    ("stages:\n  a: 1\n b: 2\n", "3: this is not YAML"),
    ("pipeline: [p\nstages: {}\n", r"\d: this is not YAML"),
    ("pipeline: {p\n", r"\d: this is not YAML"),
    ("pipeline: 'p\n", r"\d: this is not YAML"),
    ('pipeline: "\\q"\n', "1: this is not YAML"),
    ("pipeline: p: q\n", "1: this is not YAML"),
    ("pipeline: @p\n", "1: this is not YAML"),
    ("pipeline: `p`\n", "1: this is not YAML"),
    ("pipeline: %p\n", "1: this is not YAML"),
    ("? [a]\n: b\n", "1: the key .* is not text"),
    ("? {a: b}\n: c\n", "1: the key .* is not text"),
    ("1: a\n", "1: the key 1 is not text"),
    ("true: a\n", "1: the key True is not text"),
    ("null: a\n", "1: the key None is not text"),
    (".nan: a\n", "1: the key nan is not text"),
    ("pipeline: p\npipeline: q\n", "2: the key 'pipeline' occurs twice"),
    ("stages: {a: {notebook: x, notebook: y}}\n", "1: the key 'notebook' occurs twice"),
    (BOMB, "2: the alias"),
    ("a: &a [*a]\n", "1: the alias"),
    ("stages: *nobody\n", "1: the alias"),
    ("a: &a {x: 1}\nstages: {<<: *a}\n", "2: the alias"),
    ("stages: {<<: {a: 1}, <<: {b: 2}}\n", "1: '<<' occurs twice"),
    ("stages: {<<: 3}\n", "1: '<<' merges in YAML 1.1 only"),
    ("stages: {<<: [3]}\n", "1: '<<' merges in YAML 1.1 only"),
    ("a: !!python/object/apply:os.system [ls]\n", "1: the tag"),
    ("a: !!binary aGk=\n", "1: the tag"),
    ("a: !env X\n", "1: the tag"),
    ("a: !!set {x}\n", "1: the tag"),
    ("a: " + "[" * 60 + "]" * 60, "1: deeper than 40 levels"),
    ("a: " + "[" * 10_000, "1: deeper than 40 levels"),
    ("a: " + "{x: " * 60 + "1" + "}" * 60, "1: deeper than 40 levels"),
    ("".join(f"{' ' * n}k:\n" for n in range(60)), "deeper than 40 levels"),
    ("a:\n" + "- " * 60 + "x\n", "2: deeper than 40 levels"),
    ("x" * (5 * 1024 * 1024), "1: the file has 5,242,880 bytes"),
    ("a: [" + "1," * 250_000 + "]", "more than 50,000 values"),
    ("extends: nobody.yaml\n", "1: extends: there is no file 'nobody.yaml'"),
    ("extends: bad.yaml\n", "extend each other in a circle"),
    ("extends: [base.yaml]\n", "1: extends: .* is not the name of one file"),
    ("extends: 3\n", "1: extends: 3 is not the name"),
    ("extends: .\n", "1: extends: there is no file"),
    ("extends: ../notebooks\n", "1: extends: there is no file"),
    ('extends: "a\\0b"\n', "1: this text holds NUL"),
    (f"extends: {'x' * 300}.yaml\n", "1: extends: there is no file"),
    ("extends: ''\n", "1: extends: there is no file"),
]  # fmt: skip

# Each row changes one line of the good file: the text that is replaced, what it becomes, the message.
CHANGES: list[tuple[str, str, str]] = [
    *((f"{key}: {old}", f"{key}: {new}", message) for key, old, new, message in [
        ("pipeline", "p\n", "a b\n", "is not a name"),
        ("pipeline", "p\n", "3\n", "should be a valid string"),
        ("pipeline", "p\n", "[p]\n", "should be a valid string"),
        ("pipeline", "p\n", "{p: q}\n", "should be a valid string"),
        ("pipeline", "p\n", "''\n", "is not a name"),
        ("pipeline", "p\n", "../p\n", "is not a name"),
        ("pipeline", "p\n", f"{'p' * 101}\n", "is not a name"),
        ("pipeline", "p\n", '"p\\n"\n', "is not a name"),
        ("pipeline", "p\n", '"\\e[31mp"\n', "is not a name"),
        ("pipeline", "p\n", '"p\\0"\n', "holds NUL"),
        ("pipeline", "p\n", '"p\\ud800"\n', "holds NUL or half|not YAML"),
        ("parameters", "{n: 3}", "[n]", "valid dictionary"),
        ("parameters", "{n: 3}", "n", "valid dictionary"),
        ("parameters", "{n: 3}", "{m: 3}", "no notebook declares 'm'"),
        ("parameters", "{n: 3}", "{n: x}", "n"),
        ("parameters", "{n: 3}", f"{{n: {'9' * 5000}}}", "more than 1,000 digits|larger than any float"),
        ("parameters", "{n: 3}", f"{{n: -{'9' * 5000}}}", "more than 1,000 digits|larger than any float"),
        ("parameters", "{n: 3}", f"{{n: 0o{'7' * 5000}}}", "more than 1,000 digits|larger than any float"),
        ("parameters", "{n: 3}", f"{{n: 0x{'f' * 5000}}}", "more than 1,000 digits|larger than any float"),
        ("parameters", "{n: 3}", f"{{n: 1{'0' * 5000}.5}}", "more than 1,000 digits|larger than any float"),
        ("parameters", "{n: 3}", "{n: .inf}", "inf"),
        ("parameters", "{n: 3}", "{n: .nan}", "nan"),
        ("parameters", "{n: 3}", "{n-n: 3}", "Python name|no notebook"),
        ("parameters", "{n: 3}", "{'': 3}", "Python name|no notebook"),
        ("parameters", "{n: 3}", '{"\\e[2J": 3}', "no notebook|Python name"),
        ("parameters", "{n: 3}", '{n: "{{tasks.a.values.x}}"}', "belongs under one stage"),
        ("defaults", "{max", "x #{max", "dictionary|instance of RetrySpec"),
        ("defaults", "{max", "[] #{max", "dictionary|instance of RetrySpec"),
        ("tables", "{engine: pandas}", "{engine: duckdb}", "'duckdb' is not allowed"),
        ("tables", "{engine: pandas}", "{engine: [pandas]}", "is not allowed"),
        ("tables", "{engine: pandas}", "{engin: pandas}", "unknown key. Did you mean 'engine'"),
        ("tables", "{engine: pandas}", "pandas", "dictionary|instance"),
        ("tables", "{engine: pandas}", "{root: 3}", "valid string"),
        ("tables", "{engine: pandas}", f"{{root: {'x' * 300}}}", "each name in it 255"),
        ("tables", "{engine: pandas}", '{root: "a\\0b"}', "holds NUL"),
        ("tables", "{engine: pandas}", "{root: a_file}", "is a file, and a folder is needed"),
        ("tables", "{engine: pandas}", "{root: a_file/below}", "is a file, and a folder is needed"),
        ("tables", "{engine: pandas}", "{external: {x: nowhere}}", "there is no folder"),
        ("tables", "{engine: pandas}", "{external: {x: a_file}}", "there is no folder"),
        ("tables", "{engine: pandas}", "{external: {x: params}}", "no Delta table"),
        ("tables", "{engine: pandas}", "{external: {x: 's3://b/x'}}", "is an address"),
        ("tables", "{engine: pandas}", "{external: {x: [y]}}", "valid string"),
        ("tables", "{engine: pandas}", "{external: {a b: y}}", "is not a name"),
        ("tables", "{engine: pandas}", f"{{external: {{x: {'y' * 5000}}}}}", "at most 4,000 bytes"),
        ("tracking", "{experiment: e}", "e", "dictionary|instance"),
        ("tracking", "{experiment: e}", "{experiment: ''}", "at least 1 character"),
        ("tracking", "{experiment: e}", "{experiment: 3}", "valid string"),
        ("tracking", "{experiment: e}", f"{{experiment: {'e' * 501}}}", "at most 500 characters"),
        ("tracking", "{experiment: e}", "{registered_model: a/b}", "match pattern"),
        ("tracking", "{experiment: e}", "{registered_model: 'a:b'}", "match pattern"),
        ("tracking", "{experiment: e}", "{registered_model: ' '}", "match pattern"),
        ("tracking", "{experiment: e}", "{uri: 3}", "valid string"),
        *(("tracking", "{experiment: e}", f"{{uri: '{uri}'}}", message) for uri, message in [
            ("htp://localhost:5000", "MLflow does not know. Did you mean 'http'"),
            ("ftp://localhost", "MLflow does not know"),
            ("http://localhost:99999", "port out of range"),
            ("http://localhost:port", "port could not be cast"),
            ("http://localhost:-1", "port"),
            ("http://localhost:0", "port 0"),
            ("http://", "names no host"),
            ("http://:5000", "names no host"),
            ("http://a b:5000", "blanks"),
            ("http://[::1", "is not an address"),
            ("https://user:secret@:443", r"\*\*\*@.* names no host"),
            ("sqlite://mlflow.db", "has two slashes"),
            ("sqlite:///", "name a file"),
            ("sqlite:///:memory:", "name a file"),
            ("sqlite:////proc/self/x.db", "nothing can be written in /proc"),
            ("sqlite:////dev/null/x.db", "nothing can be written in /dev/null"),
            ("sqlite:////tmp", "is a folder"),
            ("sqlite:////", "is a folder|name a file"),
            ("postgresql:///x", "names no host"),
            ("localhost", "is not an address"),
            ("", "is not an address"),
        ]),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "roc_auc", "valid list"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[roc_auc]", "dictionary|instance"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{metric: accuracy_}]", "is not allowed"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{metric: roc_auc}]", "either `threshold` or"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{metric: roc_auc, threshold: x}]", "valid number"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{metric: roc_auc, threshold: .inf}]", "finite number"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{metric: roc_auc, threshold: .nan}]", "finite number"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[{threshold: 0.6}]", "required"),
        ("gate", "[{metric: roc_auc, threshold: 0.6}]", "[null]", "dictionary|instance"),
        ("notifications", "{on: [failure]}", "{on: failure}", "valid list"),
        ("notifications", "{on: [failure]}", "{on: [fail]}", "Did you mean 'failure'"),
        ("notifications", "{on: [failure]}", "{true: [failure]}", "the key True is not text"),
        ("profiles", "{small: {node", "[small] #", "valid dictionary"),
        ("profiles", "{small: {node", "{small: small} #", "dictionary|instance"),
        ("profiles", "{small: {node", "{big: {node", "no profile 'small'"),
        ("queue", "{enabled: true}", "{enabled: yes}", "valid boolean"),
        ("queue", "{enabled: true}", "{enabled: 1}", "valid boolean"),
        ("queue", "{enabled: true}", "true", "dictionary|instance"),
        ("max_concurrent_runs", "1\n", "0\n", "greater than or equal to 1"),
        ("max_concurrent_runs", "1\n", "1001\n", "less than or equal to 1000"),
        ("max_concurrent_runs", "1\n", "1.5\n", "valid integer"),
        ("max_concurrent_runs", "1\n", "'1'\n", "valid integer"),
        ("max_concurrent_runs", "1\n", "true\n", "valid integer"),
        ("max_concurrent_runs", "1\n", f"{'9' * 900}\n", "less than or equal to 1000"),
        ("pools", "{memory_gb: 12}", "{memory_gb: 0}", "greater than 0"),
        ("pools", "{memory_gb: 12}", "{memory_gb: .inf}", "finite number"),
        ("pools", "{memory_gb: 12}", "{memory_gb: many}", "valid number"),
        ("pools", "{memory_gb: 12}", "{a b: 1}", "is not a name"),
        ("pools", "{memory_gb: 12}", f"{{memory_gb: {'9' * 900}}}", "finite number|valid number"),
        ("cost", "{discount: 0.1}", "{discount: 2}", "less than"),
        ("cost", "{discount: 0.1}", "{discount: .nan}", "finite number"),
        ("cost", "{discount: 0.1}", "{spot_factor: -1}", "greater than"),
        ("cost", "{discount: 0.1}", "{cloud: MOON}", "'MOON' is not allowed"),
        ("cost", "{discount: 0.1}", "{prices: [nowhere.csv]}", "nowhere.csv"),
        ("cost", "{discount: 0.1}", "{prices: [params]}", "params"),
        ("cost", "{discount: 0.1}", f"{{prices: [{'x' * 300}.csv]}}", "x"),
        ("budget", "{max_usd_per_run: 5}", "{max_usd_per_run: -5}", "greater than"),
        ("budget", "{max_usd_per_run: 5}", "{max_usd_per_run: .inf}", "finite number"),
        ("budget", "{max_usd_per_run: 5}", "5", "dictionary|instance"),
        ("runs_dir", "runs\n", "3\n", "valid string"),
        ("runs_dir", "runs\n", "a_file\n", "is a file, and a folder is needed"),
        ("runs_dir", "runs\n", "a_file/x/y\n", "is a file, and a folder is needed"),
        ("runs_dir", "runs\n", '"r\\0"\n', "holds NUL"),
        ("runs_dir", "runs\n", f"{'r' * 256}\n", "each name in it 255"),
        ("warehouse", "warehouse\n", "[w]\n", "valid string"),
        ("warehouse", "warehouse\n", "a_file\n", "is a file, and a folder is needed"),
        ("warehouse", "warehouse\n", f"{'w/' * 2500}\n", "at most 4,000 bytes"),
    ]),
    *(("timeout_seconds: 60", f"timeout_seconds: {value}", message) for value, message in [
        (".inf", "finite number"), ("-.inf", "finite number|greater"), (".nan", "finite number"),
        ("-1", "greater than or equal to 0"), ("1e300", "less than or equal"), ("9" * 400, "finite number|less than|valid number"),
        ("soon", "valid number"), ("'60'", "valid number"), ("[60]", "valid number"), ("true", "valid number"),
        ("1e99999", "larger than any float"),
    ]),
    *(("max_retries: 1", f"max_retries: {value}", message) for value, message in [
        ("-1", "greater than or equal to 0"), ("101", "less than or equal to 100"), ("1.5", "valid integer"),
        ("many", "valid integer"), ("true", "valid integer"), ("[1]", "valid integer"), ("'1'", "valid integer"),
        ("1, max_retry: 2", "unknown key. Did you mean 'max_retries'"),
        ("1, min_retry_interval_millis: " + "9" * 30, "less than or equal"),
        ("1, min_retry_interval_millis: -1", "greater than or equal to 0"),
        ("1, kernel: hot", "'hot' is not allowed"), ("1, retry_on_timeout: often", "valid boolean"),
    ]),
    *(("depends_on: [a]", f"depends_on: {value}", message) for value, message in [
        ("a", "valid list"), ("[c]", "there is no stage 'c'"), ("[b]", "in a circle: b → b"), ("[1]", "valid string"),
        ("{a: b}", "valid list"), ("[null]", "valid string"), ("[]", "'t' is written by 'a'"),
        ("[a]\n    run_if: SOMETIMES", "'SOMETIMES' is not allowed"), ("[a]\n    only_if: true", "valid string"),
        ("[a]\n    only_if: x", "is not a reference"), ("[a]\n    engine: dask", "'dask' is not allowed"),
        ('[a]\n    only_if: "{{tasks.z.values.x}}"', "there is no stage 'z'"), ("[a]\n    work: scan", "valid list"),
        ("[a]\n    work: [sing]", "'sing' is not allowed"), ("[a]\n    pools: {gpu: 1}", "there is no pool 'gpu'"),
        ("[a]\n    pools: {memory_gb: 13}", "the pool holds 12"), ("[a]\n    reuse: often", "'often' is not allowed"),
        ("[a]\n    idempotent: perhaps", "valid boolean"), ("[a]\n    nootebook: x", "unknown key. Did you mean 'notebook'"),
    ]),
    *(("reads: [t]", f"reads: {value}", message) for value, message in [
        ("t", "dictionary"), ("[[t]]", "dictionary"), ("{t: {columns: []}}", "at least 1 item"), ("{t: 3}", "dictionary|instance"),
        ("{t: {where: [[a, ~, 1]]}}", "is not allowed|should be"), ("{t: {where: [a]}}", "tuple"), ("{t: {where: [[a]]}}", "required"),
        ("[a b]", "is not a name"), ("{t: {rows: 3}}", "unknown key"),
    ]),
    *(("    notebook: notebooks/a.ipynb\n    writes: [t]", f"    notebook: {value}\n    writes: [t]", message) for value, message in [
        ("3", "valid string"), ("nowhere.ipynb", "no such notebook"), ("notebooks", "no such notebook"), ("''", "no such notebook"),
        ('"a\\0.ipynb"', "holds NUL"), ("x" * 256, "each name in it 255"), ("a_file", "a_file"), ("a_file/x.ipynb", "no such notebook"),
        ("[x]", "valid string"), ("broken.ipynb", "is not a notebook"), ("latin.py", "not UTF-8"), ("broken.py", "is not Python"),
    ]),
    ("    writes: [t]", "    writes: t", "valid list"),
    ("    writes: [t]", "    writes: [a b]", "is not a name"),
    ("    parameters: {n: 4}", "    parameters: {m: 4}", "has no parameter 'm'"),
    ("    parameters: {n: 4}", "    parameters: {n: x}", "n"),
    ("  a:\n", "  1a:\n", "is not a name"),
    ("  a:\n", "  a b:\n", "is not a name"),
    ("  a:\n", '  "\\e[31m":\n', "is not a name"),
    ("  a:\n", f"  {'a' * 101}:\n", "is not a name"),
    ("0 0 2 * * ?", "0 2 * * *", "this one has 5"),
    ("0 0 2 * * ?", "daily", "this one has 1|Quartz"),
    ("timezone_id: UTC", "timezone_id: Mars", "not a time zone"),
    ("timezone_id: UTC", "timezone_id: ../../etc/passwd", "not a time zone"),
    ("num_workers: 0", "num_workers: -1", "greater than or equal to 0"),
    ("num_workers: 0", "num_workers: few", "valid integer"),
    ("num_workers: 0", "autoscale: {min_workers: 5, max_workers: 2}", "min"),
    ("node_type_id: r5.xlarge", "node_type_id: r5.nothing", "r5.nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), FILES, ids=map(str, range(len(FILES))))
def test_a_malformed_file_is_refused_with_its_place(project, data, message):
    text = refusal(project, data)
    assert_place(text, message)


@pytest.mark.parametrize(("old", "new", "message"), CHANGES, ids=map(str, range(len(CHANGES))))
def test_a_wrong_value_is_refused_with_its_place(project, old, new, message):
    (project / "a_file").write_text("x")
    (project / "broken.ipynb").write_text("{")
    (project / "latin.py").write_bytes(b"# %%\nx = '\xe9'\n")
    (project / "broken.py").write_text('# %% tags=["parameters"]\nx = = 1\n')
    assert GOOD.count(old) >= 1
    assert_place(refusal(project, GOOD.replace(old, new, 1)), message)


def assert_place(text: str, message: str) -> None:
    import re

    assert re.search(message, text), text
    assert re.search(r"bad\.yaml(:\d+: | → bad\.yaml)", text), text


def test_there_are_two_hundred_cases():
    assert len(FILES) + len(CHANGES) >= 200


def test_the_command_ends_with_exit_status_2_and_shows_no_control_sequence(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    text = GOOD.replace("parameters: {n: 3}", 'parameters: {"\\e[2J\\u202e": 3}')
    (project / "params/bad.yaml").write_text(text.replace("cost: {discount", '"c\\e]0;x\\a": {discount'))
    with pytest.raises(SystemExit) as ended:
        main(["run", "--params", "bad", "--dry-run"])
    stderr = capsys.readouterr().err
    assert ended.value.code == 2
    assert "params/bad.yaml:2: parameters." in stderr
    assert not set(stderr) & {"\x1b", "\x07", "\u202e"}
    assert not (project / "runs").exists()


VALUES = [
    "3", "-1", "x", "''", "[]", "[x]", "{}", "{x: y}", "null", "true", "1e999", ".inf", ".nan", "-.inf", "9" * 400, "9" * 5000,
    "0o" + "7" * 3000, '"\\0"', '"\\e[31m"', '"\\ud800"', "'a b'", "x" * 300, "[[[]]]", "{a: {b: {c: d}}}", "!x y", "*a", "&a x",
    "'", "[", "{", "@", "0.5", "2013-01-01", "12:30", "[null]", "{? x}", "é", "\u202e", "-", "? a",
]  # fmt: skip
LINES = [
    "x: 1",
    "\tx",
    "x",
    "- x",
    "pipeline: q",
    "  z: 1",
    "stages: {}",
    "}",
    "extends: bad.yaml",
    "<<: {a: 1}",
    "? [x]",
]


def mangled(seed: int) -> bytes:
    """The good file with some damage that depends on the seed: values, lines, characters or bytes changed."""
    chance = random.Random(seed)
    lines = GOOD.splitlines()
    for _ in range(chance.randint(1, 3)):
        number = chance.randrange(len(lines))
        match chance.randrange(5):
            case 0 | 1:
                key, colon, _ = lines[number].rpartition(": ")
                lines[number] = f"{key}{colon}{chance.choice(VALUES)}"
            case 2:
                lines.insert(number, chance.choice(LINES))
            case 3:
                del lines[number]
            case _:
                lines[number] = lines[number][: chance.randrange(len(lines[number]) + 1)]
    data = bytearray("\n".join(lines).encode("utf-8", "surrogatepass"))
    if chance.random() < 0.3:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def assert_refused_or_sound(project: Path, seed: int) -> bool:
    """A mangled file is refused with its place, or gives a pipeline; whether it was refused."""
    (project / "params/bad.yaml").write_bytes(mangled(seed))
    try:
        load(("bad",), Flags(), {}, project)
    except ConfigError as error:
        assert_place(str(error), "")
        return True
    return False


def test_mangled_files_are_refused_with_their_place(project):
    refused = [assert_refused_or_sound(project, seed) for seed in range(60)]
    assert sum(refused) > 40


@pytest.mark.campaign
def test_a_thousand_mangled_files_are_refused_with_their_place(project):
    """Seeds are tried until a thousand files were malformed; some damage leaves a sound file."""
    refused, seed = 0, 1000
    while refused < 1000:
        refused += assert_refused_or_sound(project, seed)
        seed += 1
