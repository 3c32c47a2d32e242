"""Notebooks of Databricks as stages: their widgets are the parameters, and what is not run here is found before."""

import pytest
from fixtures.guest_notebooks import source

from stagebook.params.findings import InvalidParameters
from stagebook.params.load import Flags, load

PREP = "dbutils.widgets.text('day', '2013')\ndbutils.jobs.taskValues.set('rows', 1)"
REPORT = "rows = dbutils.jobs.taskValues.get(taskKey='prep', key='rows')"


@pytest.fixture
def project(tmp_path, params):
    """Two stages; `project("stages: …")` writes the parameter file."""
    source(tmp_path / "nb/prep.py", PREP)
    source(tmp_path / "nb/report.py", REPORT)

    def write(text, *more):
        params("p", f"pipeline: p\n{text}")
        return load(("p",), Flags(*more), {}, tmp_path)

    return write


BOTH = """\
stages:
  prep: {notebook: nb/prep.py, parameters: {day: "2014"}}
  report: {notebook: nb/report.py, depends_on: [prep]}
"""


def test_widgets_are_parameters_and_task_values_are_told(project):
    found = project(f"parameters: {{day: 1}}\n{BOTH}")
    prep, report = found.stages["prep"], found.stages["report"]
    assert prep.parameters == {"day": "2014"}
    assert (prep.guest.injected, prep.guest.values, prep.guest.unseen) == (frozenset(), frozenset(), None)
    assert report.parameters == {}
    assert report.guest.values == {("prep", "rows")}
    assert (prep.engine, report.engine) == (None, None)


def test_a_parameter_that_is_no_widget_is_found(project):
    with pytest.raises(InvalidParameters, match="has no parameter 'dya'. Did you mean 'day'"):
        project(BOTH.replace("day:", "dya:"))
    with pytest.raises(InvalidParameters, match="no notebook declares 'dya'. Did you mean 'day'"):
        project("parameters: {dya: 1}\n" + BOTH)


def test_a_notebook_that_does_not_tell_its_widgets_gets_all_parameters_as_a_job_gives_them(project, tmp_path):
    source(tmp_path / "nb/report.py", "given = dbutils.widgets.getAll()")
    found = project("parameters: {any: 1}\n" + BOTH)
    assert found.stages["report"].parameters == {"any": 1}
    assert "any" not in found.stages["prep"].parameters


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        (BOTH.replace(", depends_on: [prep]", ""), "'rows' of 'prep', which is not upstream of 'report'. Add it"),
        (BOTH.replace("prep: {", "perp: {").replace("[prep]", "[perp]"), "no such stage. Did you mean 'perp'"),
    ],
)
def test_a_task_value_of_a_stage_that_is_not_upstream_is_found(project, stages, says):
    with pytest.raises(InvalidParameters, match=says):
        project(stages)


def test_other_languages_and_missing_includes_are_found_together(project, tmp_path):
    source(tmp_path / "nb/prep.py", "x = 1", "%scala\nval x = 1")
    source(tmp_path / "nb/report.py", "%run ./nowhere")
    with pytest.raises(InvalidParameters) as refused:
        project(BOTH.replace(', parameters: {day: "2014"}', ""))
    told = str(refused.value)
    assert "stages.prep.notebook: its code cell 2 is in %scala, and only Python, SQL and shell cells are run" in told
    assert "%run ./nowhere: there is no such notebook" in told


@pytest.mark.parametrize(
    ("top", "flags", "engine"),
    [
        ("", (), "spark"),
        ("tables: {engine: auto}\n", (), "spark"),
        ("tables: {engine: pandas}\n", (), None),
        ("", ((), None, "pandas"), "pandas"),
    ],
)
def test_a_notebook_that_names_spark_is_given_spark_where_the_engine_is_left_to_the_kit(
    project, tmp_path, top, flags, engine
):
    source(tmp_path / "nb/report.py", "frame = spark.table('x')")
    assert project(top + BOTH, *flags).stages["report"].engine == engine


def test_a_parameters_cell_is_set_as_in_any_notebook(project, tmp_path):
    source(tmp_path / "nb/prep.py", "# tags: parameters\nn: int = 1", "dbutils.widgets.text('day', '2013')")
    found = project(BOTH.replace('{day: "2014"}', '{day: "2014", n: 2}')).stages["prep"]
    assert found.guest.injected == {"n"}
    with pytest.raises(InvalidParameters, match="'many' is not int"):
        project(BOTH.replace('{day: "2014"}', "{n: many}"))
