"""Signals to a run: before it begins, while it runs, and while it is finished."""

import os
import signal
import subprocess
import sys

import pytest

from stagebook import cli
from stagebook.runner.signals import STOPPING, StoppedBySignal, StopSignals, before_the_run, handle_signals


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_before_the_run_begins_ends_the_command(number):
    with pytest.raises(StoppedBySignal), handle_signals(before_the_run()):
        os.kill(os.getpid(), number)
        pytest.fail("not reached")


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_to_a_run_stops_it_and_a_later_one_hurries_its_end(number):
    before = signal.getsignal(number)
    with handle_signals(before_the_run()) as signals:
        signals.run_begins()
        os.kill(os.getpid(), number)
        assert (signals.received, signals.stop.is_set()) == ([number], True)
        signals.end_begins()
        assert not signals.is_hurried
        os.kill(os.getpid(), number)
        assert signals.is_hurried
    assert signal.getsignal(number) is before


def test_a_hang_up_that_nohup_ignores_stays_ignored(monkeypatch):
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handle_signals(StopSignals()) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received == []
    finally:
        signal.signal(signal.SIGHUP, previous)


@pytest.mark.parametrize(
    ("stopped", "code"), [(KeyboardInterrupt(), 130), *((StoppedBySignal(number), 128 + number) for number in STOPPING)]
)
def test_the_command_ends_with_the_status_of_the_signal(monkeypatch, stopped, code):
    def call(words):
        raise stopped

    monkeypatch.setattr(cli, "call", call)
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == code


def test_a_command_whose_output_nobody_reads_ends_quietly():
    command = f"{sys.executable} -m stagebook.cli --help | true"
    assert subprocess.run(command, shell=True, capture_output=True, text=True, check=False).stderr == ""
