"""How stages and runs that run at once share the processor cores."""

import os

VARIABLE = "OMP_WAIT_POLICY"


def share(jobs: int) -> None:
    """Let OpenMP's threads sleep while they wait for each other, where more than one of `jobs` runs at once.

    By default they spin, on cores that other jobs need: two fits of scikit-learn's boosted trees at once took 4.9 s on
    two cores instead of 2.8, three 14 s instead of 4.4. A single fit is slower with sleeping threads (2.2 s instead of
    1.4). A policy that the environment sets is not changed.
    """
    if jobs > 1:
        os.environ.setdefault(VARIABLE, "passive")
