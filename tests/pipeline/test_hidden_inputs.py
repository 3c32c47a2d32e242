"""Inputs that stand neither in a notebook's code nor in its parameters: each counts, or the stage says it cannot be told."""

import socket
from contextlib import closing

import pytest

CELLS = {
    "run_magic": "%run helper.py",
    "shell": "!python tool.py",
    "capture": "lines = !cat data.txt",
    "bash": "%%bash\ncat data.txt",
    "command": "import subprocess\nsubprocess.run('cat data.txt', shell=True)",
    "computed": "name = ''.join(['da', 'ta.txt'])\nprint(open(name).read())",
    "computed_command": "program = 'cat'\n!{program} data.txt",
    "listed": "import os\nprint(os.listdir('parts'))",
    "library": "import pandas as pd\nname = str.lower('DATA.TXT')\nprint(pd.read_csv(name))",
    "environment": "import os\nprint(os.environ['STAGE_TEST'])",
    "computed_environment": "import os\nprint(os.environ['_'.join(['STAGE', 'TEST'])])",
    "listed_environment": "import os\nprint(os.environ['_'.join(['STAGE', 'TEST'])])",
    "opaque": "import polars as pl\nname = str.lower('DATA.TXT')\npl.read_csv(name)",
    "listed_opaque": "import polars as pl\nname = str.lower('DATA.TXT')\npl.read_csv(name)",
    "clock": "import datetime\ndatetime.datetime.now()",
    "trusted": "import datetime\ndatetime.datetime.now()",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', PORT)).close()",
    "hidden_network": "import http.client as c\nc.HTTPConnection('127.0.0.1', PORT).connect()",
    "changes": "n = int(open('count.txt').read())\nopen('count.txt', 'w').write(str(n + 1))",
}
OPTIONS = {
    "trusted": ", reuse: trusted",
    "listed_environment": ", reads_environment: [STAGE_TEST]",
    "listed_opaque": ', depends_on_files: ["notebooks/data*"]',
}
CANNOT_BE_TOLD = {
    "computed_environment": "cell 1 reads an environment variable whose name is computed",
    "opaque": "cell 1 reads by `polars.read_csv` a file whose name is computed",
    "clock": "cell 1 asks for the time by `datetime.datetime.now`",
    "network": "cell 1 imports `socket`, which asks other machines",
    "hidden_network": "cell 1 imports `http.client`, which asks other machines",
}
AFTER_EDITS = {
    "run_magic": "`helper.py` changed",
    "shell": "`tool.py` changed",
    "capture": "file `data.txt` changed",
    "bash": "file `data.txt` changed",
    "command": "file `data.txt` changed",
    "computed": "data.txt` changed",
    "computed_command": "data.txt` changed",
    "listed": "parts` are others",
    "library": "data.txt` changed",
    "environment": "environment variable `STAGE_TEST` changed",
    "listed_environment": "environment variable `STAGE_TEST` changed",
    "listed_opaque": "file `notebooks/data.txt` changed",
}


@pytest.fixture
def project(notebook, params, tmp_path):
    """A stage for each kind of hidden input, and a server that accepts connections."""
    for name in ("helper.py", "tool.py"):
        write(tmp_path, name, "print(1)")
    for name in ("data.txt", "parts/a.txt", "count.txt"):
        write(tmp_path, name, "1")
    lines = ["pipeline: p", "tables: {engine: pandas}", "stages:"]
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        for name, cell in CELLS.items():
            notebook(name, cell.replace("PORT", str(server.getsockname()[1])))
            lines.append(f"  {name}: {{notebook: notebooks/{name}.ipynb{OPTIONS.get(name, '')}}}")
        params("p", "\n".join(lines))
        yield tmp_path


def write(project, name, text):
    path = project / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_every_hidden_input_counts_or_is_named(run, project):
    assert run("--params", "p", STAGE_TEST="1").code == 0
    again = run("--params", "p", STAGE_TEST="1")
    reasons = {name: again.stage(name)["why"] for name in CELLS}
    count = reasons.pop("changes")
    assert {name: why for name, why in reasons.items() if "nothing has changed" not in why} == {
        name: f"cannot be told: {why}" for name, why in CANNOT_BE_TOLD.items()
    }
    assert count == "file `count.txt` changed while it ran"
    for name in ("helper.py", "tool.py"):
        write(project, name, "print(2)")
    write(project, "data.txt", "2")
    write(project, "parts/b.txt", "")
    edited = run("--params", "p", STAGE_TEST="2")
    for name, why in AFTER_EDITS.items():
        assert edited.stage(name)["why"].endswith(why), name
        assert edited.stage(name)["status"] == "succeeded"
    assert edited.stage("trusted")["status"] == "reused"
