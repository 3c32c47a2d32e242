"""The run report, the pages of executed notebooks and the comparison of a sweep run: data in, HTML and SVG text out.

The runner, sweeps and the command line call it; it reads and writes no files of a run.
"""
