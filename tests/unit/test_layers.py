"""The layers hold: import-linter runs the contracts of pyproject.toml."""

import warnings
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[2]
LONG = 450


def test_the_layers_hold(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None) == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_a_long_module_is_named():
    """A warning, not a failure: whether a module is one thought nobody can count."""
    modules = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "lib").rglob("*.py")}
    assert len(modules) > 200
    for path, lines in modules.items():
        if lines > LONG:
            warnings.warn(f"{path.relative_to(ROOT)} has {lines} lines: is it one thought?", stacklevel=1)


def test_every_package_says_what_lives_there_and_who_calls_it():
    for path in (ROOT / "lib/stagebook").rglob("__init__.py"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""'), path
        assert len(text.split('"""')[1].split()) > 12, f"{path}: say in two sentences what lives there, who may call it"
