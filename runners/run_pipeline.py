#!/usr/bin/env python3
"""Run a pipeline: `runners/run_pipeline.py --params prod.yaml`. The same as `stagebook run`."""

import sys

import _environment

_environment.ensure(__file__)

from stagebook.cli import main  # noqa: E402 - only importable in the project's environment

main(["run", *sys.argv[1:]])
