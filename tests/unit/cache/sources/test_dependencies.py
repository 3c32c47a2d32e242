"""On what a notebook's code depends: what counts, what cannot be told, and what does neither."""

import pytest

from stagebook.cache.sources.commands import command_use
from stagebook.cache.sources.notebook import code_of
from stagebook.cache.sources.source import UnknownKind
from stagebook.notebooks.outline import Cell, Outline


def source(*cells, language="python", parameters=None):
    code = [Cell("code", text) for text in cells]
    if parameters:
        code.insert(0, Cell("code", parameters, ("parameters",)))
    return code_of(Outline(tuple(code), language)).combined


@pytest.mark.parametrize(
    ("cell", "scripts", "programs"),
    [
        ("%run helper.py", ["helper.py"], []),
        ("%run -i helper.py 3", ["helper.py"], []),
        ("%run helper", ["helper.py"], []),
        ("%run 'other.ipynb'", ["other.ipynb"], []),
        ("%%time\n%run helper.py", ["helper.py"], []),
        ("%%capture out\nx = 1\n%run helper.py", ["helper.py"], []),
        ("import runpy\nrunpy.run_path('helper.py')", ["helper.py"], []),
        ("!python tool.py", [], ["tool.py"]),
        ("lines = !python3 -u tool.py a b", [], ["tool.py"]),
        ("%%bash\nset -e\npython tool.py && echo done", [], ["tool.py"]),
        ("%%script bash\n./tool.sh", [], ["./tool.sh"]),
        ("import os\nos.system('bash tool.sh')", [], ["tool.sh"]),
        ("import subprocess, sys\nsubprocess.run([sys.executable, 'tool.py', '--fast'])", [], ["tool.py"]),
        ("from subprocess import check_output as ask\nask(['python', 'tool.py'])", [], ["tool.py"]),
        ("get_ipython().system('python tool.py')", [], ["tool.py"]),
        ("get_ipython().run_line_magic('run', 'helper.py')", ["helper.py"], []),
    ],
)
def test_scripts_are_found_however_they_are_run(cell, scripts, programs):
    found = source(cell)
    assert (list(found.scripts), list(found.programs), found.unknown) == (scripts, programs, ())


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("open('data.txt')", {"data.txt"}),
        ("!cat data.txt | wc -l", {"data.txt"}),
        ("!head -n 3 < data/a.csv > out.csv", {"data/a.csv", "out.csv"}),
        ("get_ipython().getoutput('cat data.txt')", {"data.txt"}),
        ("import subprocess\nsubprocess.run('cat d.txt', shell=True)", {"d.txt"}),
        ("%%bash\nfor f in parts/*.csv; do cat $f; done", {"parts/*.csv"}),
        ("%%bash\nname=d.txt\ncat $name", {"d.txt"}),
        ("!sort --output=o.txt list.txt", {"o.txt", "list.txt"}),
        ("open(f'data/{day}.csv')", {"data/*.csv"}),
        ("open('data/' + day + '.csv')", {"data/*.csv"}),
        ("open('data/%s.csv' % day)", {"data/*.csv"}),
        ("open('data/{}.csv'.format(day))", {"data/*.csv"}),
        ("import os\nopen(os.path.join('data', name, 'a.csv'))", {"data/*/a.csv"}),
        ("from pathlib import Path\nDATA = Path('data')\n(DATA / 'a.csv').read_text()", {"data/a.csv"}),
        ("import polars as pl\npl.scan_parquet('parts/')", {"parts/"}),
        ("import duckdb\nduckdb.sql(\"select * from 'data/a.parquet'\")", {"data/a.parquet"}),
        ("%load_ext autoreload\n%autoreload 2\n%matplotlib inline", set()),
        ("title = 'Delay in June. A first look'", set()),
    ],
)
def test_names_of_files_are_found_in_code_and_commands(cell, names):
    found = source(cell)
    assert names <= {*found.files, *found.folders}
    assert found.unknown == ()


def test_a_parameter_in_a_files_name_is_filled_with_its_value(tmp_path):
    from stagebook.cache.files import named_files

    (tmp_path / "data").mkdir()
    for day in ("mon", "tue"):
        (tmp_path / f"data/{day}.csv").write_text(day)
    found = source("open(f'data/{day}.csv')", parameters="day: str = 'mon'")
    assert list(named_files(tmp_path, found.files, (), {"day": "tue"})) == ["data/tue.csv"]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("import os\nos.environ['REGION']", ["REGION"]),
        ("import os\nos.environ.get('REGION', 'x') + os.getenv('ZONE')", ["REGION", "ZONE"]),
        ("from os import environ, getenv\nenviron['A']; getenv('B')", ["A", "B"]),
        ("import os\n'A' in os.environ", ["A"]),
        ("!echo $REGION ${ZONE:-x}", ["REGION", "ZONE"]),
        ("%env REGION", ["REGION"]),
        ("import os\nos.environ['OMP_NUM_THREADS'] = '1'\nos.environ.setdefault('A', 'b')\n%env B=1", []),
    ],
)
def test_environment_variables_that_are_read_are_found(cell, names):
    found = source(cell)
    assert list(found.environment) == names
    assert [item for item in found.unknown if item.kind is UnknownKind.ENVIRONMENT] == []


OUTSIDE, OPAQUE, ENVIRONMENT = UnknownKind.OUTSIDE, UnknownKind.OPAQUE_FILES, UnknownKind.ENVIRONMENT


@pytest.mark.parametrize(
    ("cell", "kind", "text"),
    [
        ("eval(expression)", OUTSIDE, "runs code by `eval`"),
        ("exec(open('x.py').read())", OUTSIDE, "runs code by `exec`"),
        ("get_ipython().run_cell(text)", OUTSIDE, "runs code by `get_ipython().run_cell`"),
        ("import datetime as dt\ndt.datetime.now()", OUTSIDE, "asks for the time by `datetime.datetime.now`"),
        ("from datetime import date\ndate.today()", OUTSIDE, "asks for the time by `datetime.date.today`"),
        ("import pandas as pd\npd.Timestamp.now()", OUTSIDE, "asks for the time by `pandas.Timestamp.now`"),
        ("import time\nstarted = time.time()", OUTSIDE, "asks for the time by `time.time`"),
        ("import time\ntime.strftime('%Y')", OUTSIDE, "asks for the time by `time.strftime`"),
        ("import requests", OUTSIDE, "imports `requests`, which asks other machines"),
        ("from urllib.request import urlopen", OUTSIDE, "imports `urllib.request`, which asks other machines"),
        ("import pandas as pd\npd.read_csv('https://example.com/a.csv')", OUTSIDE, "reads `https://example.com/a.csv`"),
        ("import polars as pl\npl.scan_parquet(f's3://bucket/{day}')", OUTSIDE, "reads `s3://bucket/*`"),
        ("import mlflow\nmlflow.sklearn.load_model(uri)", OUTSIDE, None),
        ("import mlflow\nmlflow.search_runs()", OUTSIDE, "reads from MLflow by `mlflow.search_runs`"),
        ("%sql select 1", OUTSIDE, "uses the magic `%sql`"),
        ("%pip install x", OUTSIDE, "installs packages by `%pip`"),
        ("import polars as pl\npl.read_parquet(path)", OPAQUE, "reads by `polars.read_parquet` a file whose name is computed"),
        ("!make", OPAQUE, "runs the command `make`"),
        ("!curl -O https://example.com", OPAQUE, "runs the command `curl -O https://example.com`"),
        ("!git pull", OPAQUE, "runs the command `git pull`"),
        ("names = !ls", OPAQUE, "lists a folder by `ls`"),
        ("%cd data", OPAQUE, "changes the folder by `%cd data`"),
        ("import os\ndict(os.environ)", ENVIRONMENT, "uses all of `os.environ`"),
        ("import os\nos.environ[name]", ENVIRONMENT, "reads an environment variable whose name is computed"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_named_with_its_cell(cell, kind, text):
    unknown = [item for item in source("x = 1", cell).unknown if item.kind is not UnknownKind.FILES]
    if text is not None:
        assert [(item.kind, item.place, item.text) for item in unknown] == [(kind, "cell 2", text)]


@pytest.mark.parametrize(
    "cell",
    [
        "import time\ntime.perf_counter(); time.sleep(1); time.monotonic()",
        "import time\ntime.strftime('%Y', moment); time.gmtime(0)",
        "from datetime import datetime\ndatetime(2024, 1, 1).now_or_never()",
        "frame.eval('a + b'); frame.query('a > 1')",
        "print('see https://example.com/docs')",
        "import polars as pl, io\npl.read_csv(io.BytesIO(data))",
        "import mlflow\nmlflow.log_metric('a', 1)\nmlflow.set_tag('b', 'c')",
        "exec('x = 1')",
        "name?",
        "%timeit -n 3 sum(range(9))",
    ],
)
def test_what_has_no_other_input_is_not_taken_for_unknown(cell):
    assert [item for item in source(cell).unknown if item.kind is not UnknownKind.FILES] == []


def test_a_cell_in_ipython_syntax_keeps_its_imports():
    cells = ("names = !ls\nimport own.a", "own?\nimport own.b", "    %time import own.c", "%%time\nimport own.d")
    assert {statement.module for statement in source(*cells).imports} == {"own.a", "own.b", "own.c", "own.d"}


def test_another_language_cannot_be_told():
    assert [str(item) for item in source("x <- Sys.time()", language="R").unknown] == ["its language is R"]


@pytest.mark.parametrize(
    ("text", "words", "unknown"),
    [
        ("cat a b", {"a", "b"}, 0),
        ("if [ -f a ]; then cat b; else echo c; fi", {"-f", "a", "]", "b", "c"}, 0),
        ("x=$(cat a) && echo $x", {"a"}, 1),
        ("cat `cat a`", {"a"}, 1),
        ("cat $HOME/a", set(), 1),
        ("cat 'unclosed", set(), 1),
        ("sudo reboot", {"reboot"}, 1),
        ("cat a # a remark", {"a"}, 0),
        ("tar xf a.tgz -C out", {"a.tgz", "out", "xf"}, 0),
    ],
)
def test_a_command_is_read_word_by_word(text, words, unknown):
    use = command_use(text)
    assert words - {"-f", "]"} <= use.words
    assert len(use.unknown) == unknown
