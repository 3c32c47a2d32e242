"""Words of an older, private dialect stay out: of code, file names, messages and documents."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAY_INSTEAD = {
    "clerk": "background worker",
    "crew": "run context",
    "surroundings": "run environment",
    "audience": "event sinks",
    "embryos?": "prespawned kernel",
    "ingredients?": "cache key, inputs",
    "reusing": "cache lookup",
    "guests?": "Databricks notebook",
    "standins?": "dbutils shim",
    "ledgers?": "system tables",
    "upkeep": "maintenance",
    "to_make": "to_build",
    "feature_versions?": "partitions are built from code and sources",
    "glances?": "alias lookup",
    "glue_gate": "evaluate_gate",
    "legs?": "session",
    "keepers?": "supervisor",
    "run_batch": "run_sweep",
    "leftovers?": "what was left by a killed run",
    "stagebook (host|reap|track|batch)": "kernels, runs reap, sync, sweep",
}
OLD = re.compile(rf"(?<![a-zA-Z])({'|'.join(SAY_INSTEAD)})(?![a-zA-Z])", re.IGNORECASE)
EXCEPTIONS = {
    "tests/docs/test_words.py": "this list",
    "CHANGELOG.md": "it names what is gone",
    "tests/docs/test_notebooks.py": "it keeps them out of notebooks",
    "lib/stagebook/runner/machine_metrics.py": "the kernel's time of guests, /proc/stat",
}


def project_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return sorted({name for name in listed if name and (ROOT / name).is_file()} - set(EXCEPTIONS))


@pytest.mark.parametrize("top", ["lib", "notebooks", "params", "runners", "tests", ""])
def test_old_words_are_gone(top):
    old = []
    for name in project_files():
        if name.rpartition("/")[0].partition("/")[0] != top:
            continue
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate([name, *text.splitlines()]):
            old += [f"{name}:{number}: {word[0]}" for word in OLD.finditer(line)]
    assert not old, f"say instead: {SAY_INSTEAD}"


def test_every_exception_is_needed():
    for name in EXCEPTIONS:
        assert OLD.search((ROOT / name).read_text(encoding="utf-8")), f"{name} needs no exception any more"
