"""A stage as a task of a Databricks job, with a stand-in for `dbutils` in the shell."""

import contextlib
from types import SimpleNamespace

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from stagebook import stage
from stagebook.dbutils import NotebookExit
from stagebook.dbutils.notebook import NotebookUtility
from stagebook.errors import ConfigError, StageEnd
from stagebook.stage import current, papermill_task

PLACES = {"catalog": "main", "schema": "flights", "volume": "files", "run_id": "7", "stage": "train"}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """`job(seed="3")` makes this process a task with these widgets; returns its task values."""
    shell = InteractiveShell.instance()

    def begin(**widgets):
        values = {}
        given = {f"stagebook_{name}": text for name, text in PLACES.items()} | widgets
        shell.user_ns["dbutils"] = SimpleNamespace(
            widgets=SimpleNamespace(getAll=lambda: given),
            jobs=SimpleNamespace(taskValues=SimpleNamespace(set=lambda key, value: values.update({key: value}))),
            secrets=SimpleNamespace(get=lambda scope, key: f"{scope}/{key}"),
            notebook=NotebookUtility(),
        )
        return values

    monkeypatch.setenv("STAGEBOOK_VOLUMES", str(tmp_path / "Volumes"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    current.current.cache_clear()
    yield begin
    shell.user_ns.pop("dbutils", None)
    InteractiveShell.clear_instance()
    current.current.cache_clear()


@pytest.mark.parametrize(
    ("text", "default", "of", "value"),
    [
        ("3", 1, "int", 3),
        ("3", 1, None, 3),
        ("true", False, "bool", True),
        ('["a"]', [], "list[str]", ["a"]),
        ("3", "x", "str", "3"),
        ("null", 1, "int | None", None),
    ],
)
def test_a_parameter_is_what_its_widget_says_in_the_type_of_the_notebook(job, text, default, of, value):
    job(p=text)
    assert stage.parameter("p", default, of) == value
    assert stage.parameter("other", default, of) == default


def test_a_text_that_is_no_such_value_is_refused(job):
    job(p="many")
    with pytest.raises(ConfigError, match="parameter 'p': the job passes 'many', and the notebook's annotation is int"):
        stage.parameter("p", 1, "int")


def test_scraps_are_task_values_and_secrets_come_from_scopes(job):
    values = job()
    stage.glue("rows", 3)
    assert values == {"rows": 3}
    assert stage.secret("mail", "key") == "mail/key"


def test_tables_models_and_files_are_where_the_job_says(job, tmp_path):
    job(stagebook_model="main.flights.delay")
    context = current.current().context
    assert (context.spark.catalog, context.spark.schema, context.stage) == ("main", "flights", "train")
    assert (context.tracking.uri, context.tracking.registered_model) == ("databricks", "main.flights.delay")
    assert context.warehouse == tmp_path / "Volumes/main/flights/files"


def test_a_notebook_that_lacks_a_widget_of_the_job_fails_with_its_name(job):
    job(stagebook_catalog="")
    with pytest.raises(ConfigError, match=r"dbutils.widgets.text\('stagebook_catalog'"):
        current.current()


def test_papermill_runs_a_stage_in_process_keeps_it_on_the_volume_and_hands_its_scraps_on(job, notebook):
    path = notebook("a", "import scrapbook\nscrapbook.glue('double', 2 * x)\nx", parameters="x: int = 1")
    values = job(stagebook_notebook=str(path), x="21")
    kept = nbformat.read(papermill_task.run(), as_version=4)
    assert values == {"double": 42}
    assert kept.cells[-1].outputs[-1].data["text/plain"] == "21"


def test_a_stage_that_fails_under_papermill_is_kept_and_fails(job, notebook, tmp_path):
    path = notebook("a", "import scrapbook\nscrapbook.glue('before', 1)", "1 / 0", "print('after')")
    values = job(stagebook_notebook=str(path))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        papermill_task.run()
    kept = nbformat.read(tmp_path / "Volumes/main/flights/files/runs/7/train-1.ipynb", as_version=4)
    assert values == {"before": 1}
    assert [cell.get("outputs") for cell in kept.cells if "after" in cell.source] == [[]]


def test_papermill_judges_a_cell_by_what_it_raises_not_by_what_it_shows(job, notebook):
    handled = "try: 1 / 0\nexcept Exception: get_ipython().showtraceback()"
    path = notebook("a", "int('x')", handled, "print('after')", tags=["raises-exception"])
    job(stagebook_notebook=str(path))
    kept = nbformat.read(papermill_task.run(), as_version=4)
    assert kept.cells[-1].outputs[0].text == "after\n"


def test_papermill_ends_a_stage_where_it_says_so(job, notebook):
    path = notebook("a", "from stagebook import stage\nimport scrapbook\nscrapbook.glue('rows', 0)",
                    "stage.end('no rows')", "1 / 0")  # fmt: skip
    values = job(stagebook_notebook=str(path))
    kept = nbformat.read(papermill_task.run(), as_version=4)
    assert values == {"rows": 0}
    assert kept.cells[1].outputs[0].text == "The stage ends here: no rows\n"
    assert [cell.metadata.papermill["status"] for cell in kept.cells] == ["completed", "completed", "pending"]


def test_on_databricks_the_end_of_a_stage_is_the_exit_of_its_notebook(job):
    job()
    with pytest.raises(NotebookExit, match="no rows"):
        stage.end("no rows")


def test_elsewhere_the_end_of_a_stage_is_no_error_that_a_notebook_handles():
    with pytest.raises(StageEnd, match="no rows"), contextlib.suppress(Exception):
        stage.end("no rows")
