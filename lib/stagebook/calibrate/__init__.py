"""Measures this machine: each kind of work, on each engine and for several sizes, in a process of its own.

Called by `stagebook calibrate` and the benchmarks.
"""
