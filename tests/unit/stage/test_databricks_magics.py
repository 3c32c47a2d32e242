"""Magics of Databricks' cells, as IPython writes them; what `%pip` and `%sql` do."""

from importlib import metadata
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell

from stagebook.dbutils import Dbutils, MappingSecrets
from stagebook.dbutils.errors import PackageMissing
from stagebook.stage import databricks_magics
from stagebook.stage.databricks_magics import pip, statements, to_ipython_magics, with_widgets


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("%sql\nSELECT 1\n", "%%sql\nSELECT 1\n"),
        ("\n%sql SELECT 1\n", "%%sql\nSELECT 1\n"),
        ("%python\nx = 1\n", "\nx = 1\n"),
        ("%sh -e\nls\n", "%%sh -e\nls\n"),
        ("%sh -ex ls\n", "%%sh -ex\nls\n"),
        ("%sh ls -la | wc -l\n", "%%sh --no-raise-error\nls -la | wc -l\n"),
        ("%sh cd x\nls\n", "%%sh --no-raise-error\ncd x\nls\n"),
        ("%sh\nls\n", "%%sh --no-raise-error\nls\n"),
        ("%fs ls /x\n", "%%fs\nls /x\n"),
        ("%md # Title\ntext\n", "%%markdown\n# Title\ntext\n"),
        ("%pip install x\n", "%pip install x\n"),
        ("x = 1\n%sql\n", "x = 1\n%sql\n"),
        ("%%time\nx = 1\n", "%%time\nx = 1\n"),
    ],
)
def test_a_cell_of_databricks_is_one_of_ipython(cell, written):
    assert "".join(to_ipython_magics(cell.splitlines(keepends=True))) == written


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT ';'; SELECT \"a;b\", `c;d` -- no; end\n;\n", ["SELECT ';'", 'SELECT "a;b", `c;d` -- no; end']),
        ("/* a; b */ ; -- nothing\n", []),
        ("", []),
    ],
)
def test_statements_end_at_semicolons_outside_of_quotes_and_comments(text, found):
    assert list(statements(text)) == found


@pytest.mark.parametrize(
    ("statement", "written"),
    [
        ("a = :day", "a = '2013'"),
        ("a = :odd", "a = 'it\\'s \\\\ :day'"),
        ("a = :unknown", "a = :unknown"),
        ("':day' \":day\" `:day` -- :day", "':day' \":day\" `:day` -- :day"),
        ("x::day, raw:day, (:day)", "x::day, raw:day, ('2013')"),
        ("'${day}' ${unknown} ${day}", "'2013' ${unknown} 2013"),
    ],
)
def test_widgets_stand_in_sql_as_literals_or_as_they_are(statement, written):
    assert with_widgets(statement, {"day": "2013", "odd": "it's \\ :day"}) == written


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_sql_shows_its_last_result_and_keeps_it_and_takes_widgets_by_name(shell, tmp_path):
    asked, shown = [], []

    def sql(statement):
        asked.append(statement)
        return f"result of {statement}"

    utilities = Dbutils({"day": "2013", "other": "x"}, None, MappingSecrets({}), tmp_path)
    names = {"dbutils": utilities, "spark": SimpleNamespace(sql=sql), "display": shown.append}
    databricks_magics.register(shell, names)
    assert shell.run_cell("%sql\nCREATE TABLE t AS SELECT 1;\nSELECT * FROM t WHERE day = :day").success
    assert asked == ["CREATE TABLE t AS SELECT 1", "SELECT * FROM t WHERE day = '2013'"]
    assert shown == ["result of SELECT * FROM t WHERE day = '2013'"]
    assert shell.user_ns["_sqldf"] == shown[0]
    (tmp_path / "main").mkdir()
    assert shell.run_cell("%fs ls /Volumes").success
    assert [one.name for one in shown[-1]] == ["main/"]


def test_pip_says_what_is_there_and_installs_nothing(capsys, tmp_path):
    there = metadata.version("pytest")
    (tmp_path / "r.txt").write_text(f"# needed\npytest=={there}  # exactly\n\n")
    pip(f"install -q pytest --upgrade 'pytest>=1' -r {tmp_path / 'r.txt'}")
    pip("list")
    told = capsys.readouterr().out.splitlines()
    assert told == [f"{wanted}: there is pytest {there}" for wanted in ("pytest", "pytest>=1", f"pytest=={there}")]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("install nowhere-to-be-found", r"it is not installed.*\n.*uv add 'nowhere-to-be-found'"),
        ("install 'pytest<1'", r"pytest<1: \d[\d.]* is installed"),
        ("install /Volumes/a/b/c/mylib-1.0-py3-none-any.whl", "mylib-1.0-py3-none-any.whl: it is not installed"),
        ("install git+https://example.org/x", "it is not installed"),
    ],
)
def test_pip_refuses_what_is_not_there(line, says):
    with pytest.raises(PackageMissing, match=says):
        pip(line)
