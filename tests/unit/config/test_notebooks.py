"""Databricks notebooks as stages: their widgets are parameters, and what does not run here is a finding."""

import pytest
from fixtures.databricks_notebooks import databricks_notebook

from stagebook.config.findings import InvalidParameters
from stagebook.config.flags import Flags
from stagebook.config.load import load

PREP = "dbutils.widgets.text('day', '2013')\ndbutils.jobs.taskValues.set('rows', 1)"
REPORT = "rows = dbutils.jobs.taskValues.get(taskKey='prep', key='rows')"


@pytest.fixture
def project(tmp_path, params):
    """Two notebooks; `project("stages: …")` writes the parameter file and loads the pipeline."""
    databricks_notebook(tmp_path / "nb/prep.py", PREP)
    databricks_notebook(tmp_path / "nb/report.py", REPORT)

    def load_text(text, *flags):
        params("p", f"pipeline: p\n{text}")
        return load(("p",), Flags(*flags), {}, tmp_path)

    return load_text


STAGES = """\
stages:
  prep: {notebook: nb/prep.py, parameters: {day: "2014"}}
  report: {notebook: nb/report.py, depends_on: [prep]}
"""


def test_widgets_are_parameters_and_task_values_are_inputs(project):
    pipeline = project(f"parameters: {{day: 1}}\n{STAGES}")
    prep, report = pipeline.stages["prep"], pipeline.stages["report"]
    assert prep.parameters == {"day": "2014"}
    inputs = prep.dbutils_inputs
    assert (inputs.injected, inputs.task_values, inputs.untracked) == (frozenset(), frozenset(), None)
    assert report.parameters == {}
    assert report.dbutils_inputs.task_values == {("prep", "rows")}
    assert (prep.engine, report.engine) == (None, None)


def test_a_parameter_that_is_not_a_widget_is_a_finding(project):
    with pytest.raises(InvalidParameters, match="has no parameter 'dya'. Did you mean 'day'"):
        project(STAGES.replace("day:", "dya:"))
    with pytest.raises(InvalidParameters, match="no notebook declares 'dya'. Did you mean 'day'"):
        project("parameters: {dya: 1}\n" + STAGES)


def test_a_notebook_that_computes_its_widgets_gets_all_parameters_as_from_a_job(project, tmp_path):
    databricks_notebook(tmp_path / "nb/report.py", "widgets = dbutils.widgets.getAll()")
    pipeline = project("parameters: {any: 1}\n" + STAGES)
    assert pipeline.stages["report"].parameters == {"any": 1}
    assert "any" not in pipeline.stages["prep"].parameters


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (STAGES.replace(", depends_on: [prep]", ""), "'rows' of 'prep', which is not upstream of 'report'. Add it"),
        (STAGES.replace("prep: {", "perp: {").replace("[prep]", "[perp]"), "no such stage. Did you mean 'perp'"),
    ],
)
def test_a_task_value_of_a_stage_that_is_not_upstream_is_a_finding(project, stages, message):
    with pytest.raises(InvalidParameters, match=message):
        project(stages)


def test_unsupported_languages_and_missing_includes_are_reported_together(project, tmp_path):
    databricks_notebook(tmp_path / "nb/prep.py", "x = 1", "%scala\nval x = 1")
    databricks_notebook(tmp_path / "nb/report.py", "%run ./nowhere")
    with pytest.raises(InvalidParameters) as refused:
        project(STAGES.replace(', parameters: {day: "2014"}', ""))
    findings = str(refused.value)
    assert (
        "stages.prep.notebook: its code cell 2 is in %scala, and only Python, SQL and shell cells are run" in findings
    )
    assert "%run ./nowhere: there is no such notebook" in findings


@pytest.mark.parametrize(
    ("top", "flags", "engine"),
    [
        ("", (), "spark"),
        ("tables: {engine: auto}\n", (), "spark"),
        ("tables: {engine: pandas}\n", (), None),
        ("", ((), None, "pandas"), "pandas"),
    ],
)
def test_a_notebook_that_names_spark_gets_spark_if_the_engine_is_auto(project, tmp_path, top, flags, engine):
    databricks_notebook(tmp_path / "nb/report.py", "frame = spark.table('x')")
    assert project(top + STAGES, *flags).stages["report"].engine == engine


def test_a_parameters_cell_is_injected_as_in_any_notebook(project, tmp_path):
    databricks_notebook(
        tmp_path / "nb/prep.py", "# tags: parameters\nn: int = 1", "dbutils.widgets.text('day', '2013')"
    )
    prep = project(STAGES.replace('{day: "2014"}', '{day: "2014", n: 2}')).stages["prep"]
    assert prep.dbutils_inputs.injected == {"n"}
    with pytest.raises(InvalidParameters, match="'many' is not int"):
        project(STAGES.replace('{day: "2014"}', "{n: many}"))
