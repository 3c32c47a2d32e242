#!/usr/bin/env python3
"""Run a sweep: `runners/run_sweep.py --params prod.yaml --sweep train`. The same as `stagebook sweep`."""

import sys

import _environment

_environment.ensure(__file__)

from stagebook.cli import main  # noqa: E402 - only importable in the project's environment

main(["sweep", *sys.argv[1:]])
