#!/usr/bin/env python3
"""Run a sweep: `runners/run_batch.py --params prod.yaml --sweep train`. The same as `stagebook batch`."""

import sys

import _environment

_environment.ensure(__file__)

from stagebook.cli import main  # noqa: E402 - only importable in the project's environment

main(["batch", *sys.argv[1:]])
