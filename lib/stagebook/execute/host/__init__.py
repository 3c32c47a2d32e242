"""The kernel host: a process that has only imported libraries, and forks workers and kernels from them.

`client` is the runner's side; `process` is the host itself; `child` is what a forked worker runs, and `embryo` the
kernel that it forks in turn. `sameness` says when a host may be shared, `preload` what it imports and in which order.
Linux only: descriptors of processes, adopted orphans and signals at a parent's death are what keeps it tidy.
"""
