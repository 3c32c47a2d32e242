"""Text from users and their code reaches the terminal without control sequences."""

import threading

import pytest

from stagebook.cli import main
from stagebook.cli.options import warn

HOSTILE = "\x1b[2J\x1b]0;title\x07\x08\x9b31m\u202egnp.exe"


def test_a_warning_has_no_control_characters(capsys):
    warn(HOSTILE)
    assert not set("\x1b\x07\x08\x9b\u202e") & set(capsys.readouterr().err)


def test_an_error_has_no_control_characters(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--params", f"{HOSTILE}.yaml"])
    assert not set("\x1b\x07\x08\x9b\u202e") & set(capsys.readouterr().err)


def test_a_thread_that_fails_says_so_in_a_line(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(SystemExit):
        main(["--version"])

    def fail():
        raise OSError(HOSTILE)

    thread = threading.Thread(target=fail, name="meter")
    thread.start()
    thread.join()
    told = capsys.readouterr().err
    assert told.startswith("stagebook: meter ended early: OSError: ") and len(told.splitlines()) == 1
    assert "\x1b" not in told
