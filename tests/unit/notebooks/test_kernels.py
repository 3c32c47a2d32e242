"""The kernel that a notebook asks for, and those that are installed."""

import json

import pytest

from stagebook.notebooks import kernels, read
from stagebook.notebooks.kernels import InstalledKernel, NotebookKernel, kernel_of
from stagebook.notebooks.outline import outline


@pytest.fixture
def kernelspecs(tmp_path, monkeypatch):
    """`kernelspecs(ir={"argv": …})` installs kernelspecs for the test, beside those of this Python."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def install(**specs):
        for name, spec in specs.items():
            folder = tmp_path / "jupyter/kernels" / name
            folder.mkdir(parents=True)
            (folder / "kernel.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))
        return kernels.installed()

    return install


LANGUAGES = [
    ("a.R", "# %%\nx <- 1\n", "R"),
    ("a.r", "# +\nx <- 1\n", "R"),
    ("a.Rmd", "```{r}\nx <- 1\n```\n", "R"),
    ("a.jl", "# %%\nx = 1\n", "julia"),
    ("a.ps1", "# %%\n$x = 1\n", "powershell"),
    ("a.sh", "# %%\nls\n", "bash"),
    ("a.scala", "// %%\nval x = 1\n", "scala"),
    ("a.md", "```R\nx <- 1\n```\n", "R"),
    ("a.md", "```sh\nls\n```\n", "bash"),
    ("a.md", "```python\nx = 1\n```\n", "python"),
    ("a.py", "x = 1\n", "python"),
]


@pytest.mark.parametrize(("name", "text", "language"), LANGUAGES, ids=lambda value: value[:6])
def test_a_text_notebook_has_the_language_of_its_suffix_or_cells(tmp_path, name, text, language):
    path = tmp_path / name
    path.write_text(text)
    asked = outline(path)
    assert (asked.language, asked.kernel) == (language, "python3" if language == "python" else None)
    assert read.load(path).metadata.kernelspec.language == language


@pytest.mark.parametrize(
    ("metadata", "kernel"),
    [
        ({}, NotebookKernel("python3", "python")),
        ({"kernelspec": {"name": "ir", "language": "R"}}, NotebookKernel("ir", "R")),
        ({"kernelspec": {"name": "ir", "language": "r"}}, NotebookKernel("ir", "R")),
        ({"kernelspec": {"name": "mine"}, "language_info": {"name": "ipython"}}, NotebookKernel("mine", "python")),
        ({"kernelspec": "python3"}, NotebookKernel("python3", "python")),
        ({"kernelspec": {"name": None, "language": None}}, NotebookKernel("python3", "python")),
        ({"jupytext": {"main_language": "julia"}}, NotebookKernel(None, "julia")),
    ],
)
def test_a_kernel_is_what_the_metadata_say(metadata, kernel):
    assert kernel_of(metadata) == kernel


def test_the_installed_kernels_are_listed_with_their_languages(kernelspecs):
    installed = kernelspecs(
        ir={"argv": ["R", "--slave"], "language": "R", "display_name": "R"},
        Other={"argv": ["/gone/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"},
        broken="{",
        empty={"argv": []},
    )
    assert installed["ir"] == InstalledKernel("ir", "R", ("R", "--slave"))
    assert installed["other"].is_broken
    assert not installed["other"].is_own
    assert not {"broken", "empty"} & set(installed)
    assert installed["python3"].is_own
    assert kernels.of_language("r", installed) == "ir"
    assert kernels.of_language("julia", installed) is None
