"""What a process forked by the host runs: the worker of an attempt; and, forked by that one first, its kernel."""

import os
import sys
from typing import NoReturn

from stagebook.execute.host import embryo


def main() -> NoReturn:
    """Fork the kernel-to-be while this process has no threads, then be the worker."""
    kernel = embryo.fork()
    if kernel is None:
        embryo.main()
    from stagebook.execute import worker

    status = worker.main(kernel)
    sys.stderr.flush()
    os._exit(status)  # the stdin reader may still be blocked
