"""Sweeps: many configurations of one pipeline, each an ordinary run in a process of its own, and their comparison.

The command line and the queue call `run.run_sweep`; a configuration that fails, or is killed, ends nothing else.
"""
