"""The project's files agree with each other."""

import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_pins_cover_what_is_installed():
    pins: dict[str, set[str]] = {}
    for text in PROJECT["tool"]["uv"]["constraint-dependencies"]:
        name, _, version = text.split(";")[0].strip().partition("==")
        pins.setdefault(canonical(name), set()).add(version)
    unpinned = {"stagebook", "pip", "setuptools", "wheel", "uv"}
    for distribution in distributions():
        if canonical(distribution.name) not in unpinned:
            versions = pins.get(canonical(distribution.name), set())
            assert distribution.version in versions, f"{distribution.name}: run `uv run .ci/pin`"


def test_conda_users_get_the_same_direct_dependencies():
    environment = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^ {6}- ([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)$", environment, re.MULTILINE)
    direct = {canonical(re.match(r"[A-Za-z0-9._-]+", text)[0]) for text in PROJECT["project"]["dependencies"]}
    pins = dict(text.split(";")[0].strip().split("==") for text in PROJECT["tool"]["uv"]["constraint-dependencies"])
    assert {canonical(name) for name, _ in lines} == direct
    for name, version in lines:
        assert pins[canonical(name)] == version


def test_no_registry_address_is_committed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "uv.lock" not in tracked
    for name in tracked:
        if (ROOT / name).suffix in {".toml", ".yml", ".yaml", ".md", ".py", ""} and (ROOT / name).is_file():
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            assert not re.search(r"https?://(files\.)?py(pi|thonhosted)\.org", text), name


@pytest.mark.parametrize("name", ["run_pipeline", "run_sweep", "export_databricks"])
def test_a_runner_is_executable_and_tiny(name):
    runner = ROOT / f"runners/{name}.py"
    assert runner.stat().st_mode & 0o111
    assert len(runner.read_text(encoding="utf-8").splitlines()) <= 15


def test_the_changelog_has_this_version_and_what_is_not_released():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changelog.index("## Unreleased") < changelog.index(f"## {PROJECT['project']['version']}")


def test_every_marker_is_documented():
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]:
        assert f"`{marker.partition(':')[0]}`" in page
