"""Reading a bundle for a target: variables, overrides, and what the Databricks CLI would refuse."""

import pytest
from emulator.bundle import BadBundle, read

TOP = """\
bundle: {name: demo}
include: [resources/*.yml]
variables:
  catalog: {default: main}
  schema: {}
targets:
  dev: {default: true, variables: {schema: mine}}
  prod:
    variables: {catalog: {default: live}, schema: theirs}
    resources:
      jobs:
        nightly:
          parameters: [{name: seed, default: "14"}]
          tasks:
            - {task_key: b, max_retries: 2}
"""
JOB = """\
resources:
  jobs:
    nightly:
      name: nightly in ${bundle.target}
      parameters:
        - {name: seed, default: "13"}
        - {name: place, default: "${var.catalog}.${var.schema}"}
      tasks:
        - {task_key: a, notebook_task: {notebook_path: ../notebooks/a.ipynb}}
        - task_key: b
          depends_on: [{task_key: a}]
          notebook_task: {notebook_path: ../notebooks/b.ipynb, base_parameters: {file: "${workspace.file_path}/b.py", at: "{{job.id}}"}}
"""


@pytest.fixture
def bundle(tmp_path):
    """`bundle((old, new), …)` writes the demo bundle with texts replaced; gives its folder."""

    def write(*changes):
        top, job = TOP, JOB
        for old, new in changes:
            assert old in top + job
            top, job = top.replace(old, new), job.replace(old, new)
        (tmp_path / "resources").mkdir(exist_ok=True)
        (tmp_path / "databricks.yml").write_text(top)
        (tmp_path / "resources/demo.job.yml").write_text(job)
        return tmp_path

    return write


def test_the_default_target_is_read_with_its_variables(bundle):
    folder = bundle()
    job = read(folder)["nightly"]
    assert (job.name, job.parameters) == ("nightly in dev", {"seed": "13", "place": "main.mine"})
    assert list(job.tasks) == ["a", "b"]
    parameters = job.tasks["b"]["notebook_task"]["base_parameters"]
    assert parameters == {"file": f"{folder}/b.py", "at": "{{job.id}}"}
    assert (job.folder / job.tasks["a"]["notebook_task"]["notebook_path"]).resolve() == folder / "notebooks/a.ipynb"


def test_a_target_changes_parameters_and_tasks_by_their_keys(bundle):
    job = read(bundle(), target="prod")["nightly"]
    assert (job.name, job.parameters) == ("nightly in prod", {"seed": "14", "place": "live.theirs"})
    assert job.tasks["b"]["max_retries"] == 2
    assert job.tasks["b"]["depends_on"] == [{"task_key": "a"}]
    assert "max_retries" not in job.tasks["a"]


def test_variables_of_the_call_win(bundle):
    assert read(bundle(), variables={"schema": "once"})["nightly"].parameters["place"] == "main.once"


@pytest.mark.parametrize(
    ("change", "target", "message"),
    [
        (("name: demo", "name: demo"), "staging", "staging: no such target. Available targets: dev, prod"),
        (("schema: mine", "catalog: mine"), "dev", "no value assigned to required variable schema"),
        (("schema: mine", "scheme: mine"), "dev", "variable scheme is not defined but is assigned a value"),
        (("${var.catalog}.", "${var.catalogue}."), "dev", r"nightly.*reference does not exist: \$\{var.catalogue\}"),
        (('default: "13"', "default: 13"), "dev", "nightly.parameters.seed: parameters are texts, and this is 13"),
        (('at: "{{job.id}}"', "at: true"), "dev", "nightly.b.at: parameters are texts, and this is True"),
    ],
)
def test_a_bundle_that_the_databricks_cli_refuses_is_refused(bundle, change, target, message):
    with pytest.raises(BadBundle, match=message):
        read(bundle(change), target=target)
