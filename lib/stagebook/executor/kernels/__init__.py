"""The fork server, a process that has only imported libraries, and the workers and kernels that are forked from it.

For `executor` and the runner, and on Linux only: descriptors of processes, adopted orphans and signals at a parent's
death keep it tidy.
"""
