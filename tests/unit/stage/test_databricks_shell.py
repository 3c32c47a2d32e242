"""What Databricks puts into a notebook, put into a shell by `databricks_shell.begin`."""

import json
import sys
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat import from_dict

from stagebook.executor.scraps import scraps
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import Tracking
from stagebook.stage import current, databricks_shell


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """`shell(widgets=…, task_values=…)`: a shell as a stage's kernel has it; gives what a cell leaves."""
    found = InteractiveShell.instance()
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", None)

    def begin(**more):
        context = StageContext(
            run_id="r", stage="a", attempt=1, run_folder=tmp_path, warehouse=tmp_path, tables=tmp_path,
            engine="pandas", tracking=Tracking("sqlite://", "e", "m"), **{"widgets": {}, **more},
        )  # fmt: skip
        (tmp_path / "context.json").write_text(json.dumps(context.to_json()))
        monkeypatch.setenv(VARIABLE, str(tmp_path / "context.json"))
        current.current.cache_clear()
        databricks_shell.begin()

        def run(cell):
            with found.display_trap, capture_output() as captured:
                result = found.run_cell(cell)
            error = result.error_before_exec or result.error_in_exec
            outputs = [from_dict({"data": shown.data}) for shown in captured.outputs]
            glued = scraps(SimpleNamespace(cells=[{"outputs": outputs}]))
            return SimpleNamespace(error=error, out=captured.stdout, glued=glued, outputs=outputs)

        return run

    yield begin
    InteractiveShell.clear_instance()
    current.current.cache_clear()


def test_widgets_and_task_values_come_from_the_run_and_what_is_set_is_glued(shell):
    run = shell(widgets={"day": "2014"}, task_values={"up": {"rows": 3}})
    left = run(
        "dbutils.widgets.text('day', '2013')\n"
        "dbutils.jobs.taskValues.set('day', dbutils.widgets.get('day'))\n"
        "dbutils.jobs.taskValues.set('twice', [2 * dbutils.jobs.taskValues.get('up', 'rows')])\n"
        "dbutils.jobs.taskValues.set('text', 'nan')"
    )
    assert left.error is None
    assert left.glued == {"day": "2014", "twice": [6], "text": "nan"}


def test_helpers_take_the_same_utilities_from_databricks_own_package(shell):
    run = shell(widgets={"day": "2014"})
    assert run("from databricks.sdk.runtime import dbutils as other\nassert other is dbutils").error is None


def test_spark_is_refused_where_the_stage_computes_on_something_else(shell):
    run = shell()
    left = run("spark.table('x')")
    assert type(left.error).__name__ == "NoSparkSession"
    assert "stages.a.engine: spark" in str(left.error)
    assert run("spark").error is None, "naming it opens nothing"


def test_what_is_displayed_is_shown(shell):
    run = shell()
    left = run("import pandas as pd\ndisplay(pd.DataFrame({'a': [1]}), id=1)\ndisplayHTML('<b>x</b>')")
    assert "text/html" in left.outputs[0]["data"]
    assert left.outputs[1]["data"]["text/html"] == "<b>x</b>"


def test_of_a_spark_frame_the_first_rows_are_shown(shell):
    run = shell()
    left = run(
        "class Frame:\n"
        "    def limit(self, rows):\n        self.rows = rows\n        return self\n"
        "    def toPandas(self):\n        return self.rows\n"
        "display(Frame())"
    )
    assert left.outputs[0]["data"]["text/plain"] == "1000"


def test_frames_display_themselves(shell):
    run = shell()
    left = run("import pandas as pd\npd.DataFrame({'a': [1]}).display()")
    assert left.error is None
    assert "text/html" in left.outputs[0]["data"]


def test_frames_of_spark_get_the_method_when_spark_is_imported(shell):
    run = shell()
    assert run("from pyspark.sql.dataframe import DataFrame\nassert callable(DataFrame.display)").error is None


@pytest.mark.parametrize(
    ("cell", "fails"),
    [("%sh echo shown", False), ("%sh echo shown; false", False), ("%sh -e\necho shown\nfalse\n", True)],
)
def test_a_shell_command_on_one_line_runs_and_fails_the_cell_only_with_e(shell, cell, fails):
    left = shell()(cell)
    assert (left.out.startswith("shown\n"), left.error is not None) == (True, fails)


def test_volumes_are_in_the_warehouse_or_where_the_variable_says(shell, tmp_path, monkeypatch):
    run = shell()
    assert run("dbutils.fs.put('/Volumes/a/b/c/x.txt', 'x')").error is None
    assert (tmp_path / "Volumes/a/b/c/x.txt").read_text() == "x"
    monkeypatch.setenv("STAGEBOOK_VOLUMES", str(tmp_path / "other"))
    run = shell()
    assert run("dbutils.fs.put('/Volumes/a/b/c/x.txt', 'y')").error is None
    assert (tmp_path / "other/a/b/c/x.txt").read_text() == "y"
