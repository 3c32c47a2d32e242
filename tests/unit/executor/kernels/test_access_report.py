"""What a kernel reports of what the notebook's code asks for, and what it leaves out."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

USER = """\
import sys
sys.path.insert(0, {root!r})
from stagebook.executor.kernels import access_report
access_report.begin({report!r}, {root!r}, [{root!r} + "/runs"])
code = open({code!r}).read()
exec(compile(code, {root!r} + "/cell.py", "exec"), {{"__name__": "__main__"}})
"""


@pytest.fixture
def reported(tmp_path):
    """`reported("open('a.txt')")` runs code in a process of its own, and gives the lines of the report."""
    root = tmp_path / "project"
    (root / "runs").mkdir(parents=True)
    for name in ("a.txt", "runs/b.txt", "own.py", "tool.sh"):
        (root / name).write_text("")

    def call(code):
        report, file = tmp_path / "report.jsonl", root / "code.txt"
        file.write_text(textwrap.dedent(code))
        words = [sys.executable, "-c", USER.format(root=str(root), report=str(report), code=str(file))]
        subprocess.run(
            words, cwd=root, check=True, capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        )
        text = report.read_text().replace(f"{root}/", "")
        lines = [json.loads(line) for line in text.splitlines()]
        for line in lines:
            line.pop("state", None)
        return [line for line in lines if line != {"read": "code.txt"}]

    return call


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("open('a.txt').read()", [{"read": "a.txt"}]),
        ("open('a.txt'); open('a.txt')", [{"read": "a.txt"}]),
        ("from pathlib import Path\nPath('a.txt').read_text()", [{"read": "a.txt"}]),
        ("import pandas\ntry: pandas.read_csv('a.txt')\nexcept ValueError: pass", [{"read": "a.txt"}]),
        ("import os\nos.close(os.open('a.txt', os.O_RDONLY))", [{"read": "a.txt"}]),
        ("try: open('none.txt')\nexcept OSError: pass", [{"read": "none.txt"}]),
        ("open('out.txt', 'w').write('x')\nopen('out.txt').read()", [{"write": "out.txt"}]),
        ("open('a.txt', 'r+')", [{"read": "a.txt"}, {"write": "a.txt"}]),
        ("open('part', 'w')\nimport os\nos.rename('part', 'whole')", [{"write": "part"}, {"write": "whole"}]),
        ("open('runs/b.txt')", []),
        ("open('/proc/self/stat'); open('/etc/hosts')", []),
        ("import json, decimal, email.parser", []),
        ("import own", [{"code": "own.py"}]),
        ("import os\nos.listdir('runs')", []),
        ("import subprocess\nsubprocess.run(['sh', 'tool.sh'])", [{"command": ["sh", "tool.sh"]}]),
        ("import os\nos.system('cat a.txt')", [{"command": "cat a.txt"}]),
        ("import sqlite3\nsqlite3.connect('a.txt')", [{"read": "a.txt"}]),
        ("import socket\ntry: socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError: pass", [{"connect": "127.0.0.1:9"}]),
        ("def f():\n    open('a.txt')\nimport threading\nt = threading.Thread(target=f); t.start(); t.join()", [{"read": "a.txt"}]),
        ("from concurrent.futures import ThreadPoolExecutor as T\nlist(T().map(open, ['a.txt']))", [{"read": "a.txt"}]),
        ("exec(\"open('a.txt')\")", [{"read": "a.txt"}]),
    ],
)  # fmt: skip
def test_what_the_code_asks_for_is_reported_once(reported, code, lines):
    assert reported(code) == lines


def test_a_folder_that_is_listed_is_reported_with_its_names(reported):
    (line,) = reported("import glob\nglob.glob('*.txt')")
    assert {"a.txt", "own.py", "runs", "tool.sh"} <= set(line["names"])


def test_what_the_kit_opens_is_its_own_concern(reported):
    assert (
        reported("from stagebook import atomic\nfrom pathlib import Path\natomic.write_text(Path('k.txt'), 'x')") == []
    )
