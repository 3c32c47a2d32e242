#!/usr/bin/env python3
"""Export a pipeline as a bundle: `runners/export_databricks.py --params prod.yaml --out DIR`."""

import sys

import _environment

_environment.ensure(__file__)

from stagebook.cli import main  # noqa: E402 - only importable in the project's environment

main(["databricks", "export", *sys.argv[1:]])
