"""The dbutils shim has Databricks' names, kinds of errors and rules."""

import contextlib
import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stagebook.dbutils import Dbutils, EnvironmentSecrets, InputWidgetNotDefined, MappingSecrets, NotebookExit
from stagebook.dbutils.errors import InvalidInputWidgetDefinition, NotebookRunUnsupported, UnsupportedPath


class Values:
    """Task values in memory."""

    def __init__(self, upstream: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.upstream, self.own = upstream or {}, {}

    def put(self, key, value):
        self.own[key] = value

    def of(self, task):
        return self.upstream.get(task)


def dbutils(widgets=None, values=None, secrets=None, volumes=None) -> Any:
    return Dbutils(widgets or {}, values, MappingSecrets(secrets or {}), volumes)


def stub() -> Any:
    """`dbutils` as Databricks' SDK declares it for editors; importing its package would log in."""
    sdk = importlib.util.find_spec("databricks.sdk")
    spec = importlib.util.spec_from_file_location("stub", Path(sdk.origin).parent / "runtime/dbutils_stub.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dbutils


@pytest.mark.parametrize("part", ["widgets", "fs", "secrets", "notebook", "jobs.taskValues", "library"])
def test_names_and_arguments_are_those_of_databricks_own_stub(part):
    theirs, ours = stub(), dbutils()
    for name in part.split("."):
        theirs, ours = getattr(theirs, name), getattr(ours, name)
    for name, function in vars(theirs).items():
        unsupported = {"cacheFiles", "cacheTable", "uncacheFiles", "uncacheTable", "updateMount", "mounts"}
        unsupported |= {"mount", "refreshMounts", "unmount"}
        if name.startswith("_") or name in unsupported:
            continue
        expected = [argument for argument in inspect.signature(function.__func__).parameters if argument != "self"]
        assert list(inspect.signature(getattr(ours, name)).parameters) == expected, name


def test_a_widget_has_its_default_or_the_jobs_parameter():
    widgets = dbutils({"day": "monday"}).widgets
    widgets.text("day", "sunday", "Day")
    widgets.dropdown("size", "small", ["small", "large"])
    widgets.combobox("any", "", ["x"])
    widgets.multiselect("some", "a", ["a", "b"])
    assert widgets.getAll() == {"day": "monday", "size": "small", "any": "", "some": "a"}
    assert (widgets.get("day"), widgets.getArgument("no", "else")) == ("monday", "else")


def test_redefining_a_widget_changes_nothing_and_removing_keeps_the_jobs_parameters():
    widgets = dbutils({"day": "monday"}).widgets
    widgets.text("n", "1")
    widgets.text("n", "2")
    assert widgets.get("n") == "1"
    widgets.remove("n")
    with pytest.raises(InputWidgetNotDefined, match="No input widget named n is defined"):
        widgets.get("n")
    with pytest.raises(InputWidgetNotDefined, match="No input widget named n is defined"):
        widgets.remove("n")
    widgets.removeAll()
    assert widgets.getAll() == {"day": "monday"}


def test_values_and_choices_of_widgets_must_be_texts():
    widgets = dbutils().widgets
    with pytest.raises(TypeError, match=r"widget 'n': defaultValue must be a str, and it is int \(3\)"):
        widgets.text("n", 3)
    with pytest.raises(TypeError, match="choices must be a str"):
        widgets.dropdown("n", "1", [1, 2])
    with pytest.raises(TypeError, match="value must be a str"):
        dbutils({"n": 3})
    with pytest.raises(InvalidInputWidgetDefinition, match="'3' of widget n is not one of its choices: 1, 2"):
        widgets.dropdown("n", "3", ["1", "2"])


def test_task_values_pass_as_json_from_task_to_task():
    values = Values({"up": {"rows": 3, "none": None}})
    task_values = dbutils(values=values).jobs.taskValues
    task_values.set(key="pair", value=(1, {2: "x"}))
    assert values.own == {"pair": [1, {"2": "x"}]}
    assert task_values.get(taskKey="up", key="rows", debugValue=0) == 3
    assert task_values.get("up", "none") is None
    assert task_values.get("up", "other", default=7) == 7
    with pytest.raises(ValueError, match="'up' has not set a task value 'other'. It has set: none, rows"):
        task_values.get("up", "other")
    with pytest.raises(ValueError, match="No task 'down' is upstream"):
        task_values.get("down", "rows", default=7)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("x" * (48 * 1024 - 1), ValueError, "49,153 bytes as JSON; the limit is 49,152"),
        (object(), TypeError, "cannot be expressed as JSON"),
        (float("nan"), TypeError, "cannot be expressed as JSON"),
    ],
)
def test_a_task_value_must_be_json_of_limited_size(value, error, message):
    values = Values()
    with pytest.raises(error, match=message):
        dbutils(values=values).jobs.taskValues.set("x", value)
    dbutils(values=values).jobs.taskValues.set("x", "x" * (48 * 1024 - 2))
    with pytest.raises(TypeError, match="key of a task value must be a str"):
        dbutils(values=values).jobs.taskValues.set(1, 1)


def test_outside_of_a_job_task_values_are_debug_values():
    task_values = dbutils().jobs.taskValues
    task_values.set("x", 1)
    assert task_values.get("up", "x", default=1, debugValue=5) == 5
    with pytest.raises(TypeError, match="debugValue"):
        task_values.get("up", "x", default=1)


def test_a_secret_can_be_read_and_is_redacted_in_output(capsys):
    secrets = dbutils(secrets={"mail": {"key": "s3cret"}}).secrets
    value = secrets.get(scope="mail", key="key")
    print(f"it is {value}")
    assert (value, secrets.getBytes("mail", "key")) == ("s3cret", b"s3cret")
    assert capsys.readouterr().out == "it is [REDACTED]\n"
    assert repr(value) == "'[REDACTED]'"
    assert [scope.name for scope in secrets.listScopes()] == ["mail"]
    assert [metadata.key for metadata in secrets.list("mail")] == ["key"]
    with pytest.raises(ValueError, match="Secret does not exist with scope: mail and key: other"):
        secrets.get("mail", "other")


def test_a_missing_secret_names_its_environment_variable(monkeypatch):
    secrets = Dbutils({}, None, EnvironmentSecrets()).secrets
    with pytest.raises(ValueError, match="set the environment variable MY_MAIL_API_KEY"):
        secrets.get("my-mail", "api.key")
    monkeypatch.setenv("MY_MAIL_API_KEY", "s3cret")
    assert secrets.get("my-mail", "api.key") == "s3cret"


def test_exit_is_not_caught_by_a_notebooks_own_except():
    with pytest.raises(NotebookExit, match="done") as exited, contextlib.suppress(Exception):
        dbutils().notebook.exit("done")
    assert exited.value.value == "done"


def test_running_another_notebook_is_refused_with_a_hint():
    with pytest.raises(
        NotebookRunUnsupported, match=r"Make './other' a stage of the pipeline, or include it with: %run ./other"
    ):
        dbutils().notebook.run("./other", 60, {"a": "b"})


def test_files_on_volumes_and_on_this_machine(tmp_path):
    fs = dbutils(volumes=tmp_path / "v").fs
    assert fs.mkdirs("/Volumes/main/default/raw/in")
    assert fs.put("/Volumes/main/default/raw/in/a.txt", "abc")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        fs.put("dbfs:/Volumes/main/default/raw/in/a.txt", "abc")
    assert fs.put("/Volumes/main/default/raw/in/a.txt", "häb", overwrite=True)
    assert fs.head("/Volumes/main/default/raw/in/a.txt", 3) == "hä"
    (file,) = fs.ls("/Volumes/main/default/raw/in")
    assert (file.path, file.name, file.size) == ("/Volumes/main/default/raw/in/a.txt", "a.txt", 4)
    (folder,) = fs.ls("/Volumes/main/default/raw/")
    assert (folder.path, folder.name, folder.isDir()) == ("/Volumes/main/default/raw/in/", "in/", True)
    assert fs.cp("/Volumes/main/default/raw/in/a.txt", f"file:{tmp_path}/b.txt")
    assert (tmp_path / "b.txt").read_text() == "häb"
    assert fs.mv(str(tmp_path / "b.txt"), "/Volumes/main/default/raw/")
    assert [entry.name for entry in fs.ls("/Volumes/main/default/raw")] == ["b.txt", "in/"]
    with pytest.raises(IsADirectoryError, match="recurse=True"):
        fs.cp("/Volumes/main/default/raw/in", str(tmp_path / "out"))
    assert fs.cp("/Volumes/main/default/raw/in", str(tmp_path / "out"), recurse=True)
    assert (tmp_path / "out/a.txt").is_file()
    with pytest.raises(IsADirectoryError, match="recurse=True"):
        fs.rm("/Volumes/main/default/raw")
    assert fs.rm("/Volumes/main/default/raw", recurse=True)
    assert not fs.rm("/Volumes/main/default/raw")
    with pytest.raises(FileNotFoundError, match="No such file or directory: /Volumes/main/default/raw"):
        fs.ls("/Volumes/main/default/raw")


@pytest.mark.parametrize("path", ["dbfs:/tmp/x", "/dbfs/tmp/x", "s3://bucket/x", "abfss://c@a/x"])
def test_storage_of_a_workspace_is_refused(path, tmp_path):
    with pytest.raises(UnsupportedPath, match="storage of a workspace or of a cloud"):
        dbutils(volumes=tmp_path).fs.ls(path)


def test_without_a_folder_for_volumes_the_variable_is_named():
    with pytest.raises(UnsupportedPath, match="set STAGEBOOK_VOLUMES"):
        dbutils().fs.ls("/Volumes/main")
