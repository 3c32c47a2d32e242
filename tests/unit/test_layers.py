"""The layers hold: import-linter runs the contracts of pyproject.toml."""

from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]


def test_the_layers_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None) == EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize("module", sorted((ROOT / "lib").rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_is_longer_than_300_lines(module):
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 300
