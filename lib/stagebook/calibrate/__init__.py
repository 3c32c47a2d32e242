"""Measuring this machine: each kind of work on each engine over sizes, each in a process of its own."""
