"""What the host becomes for an attempt: the worker; and, forked by that one first, its kernel."""

from stagebook.execute.host import embryo


def main() -> int:
    """Fork the kernel-to-be while this process has no threads, then be the worker."""
    kernel = embryo.fork()
    if kernel is None:
        embryo.main()
    from stagebook.execute import worker

    return worker.main(kernel)
