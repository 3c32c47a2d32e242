"""Pools are shared by processes, granted in the order of claims, and free again when a process has ended."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from fixtures.processes import HANG_SECONDS, wait_until
from hypothesis import given
from hypothesis import strategies as st

from stagebook.executor.pools import PoolClaim, Pools, can_grant

SIZES = {"spark": 1.0, "memory_gb": 12.0}


@pytest.fixture
def pools(tmp_path):
    return Pools(tmp_path / "state/pools.sqlite", SIZES)


@pytest.mark.parametrize(
    ("rivals", "amounts", "granted"),
    [
        ([], {"spark": 1}, True),
        ([PoolClaim(1, {"spark": 1}, granted=True)], {"spark": 1}, False),
        ([PoolClaim(1, {"spark": 1}, granted=True)], {"memory_gb": 12}, True),
        ([PoolClaim(1, {"memory_gb": 8}, granted=True)], {"memory_gb": 4}, True),
        ([PoolClaim(1, {"memory_gb": 8}, granted=True)], {"memory_gb": 4.5}, False),
        ([PoolClaim(1, {"memory_gb": 12}, granted=False)], {"memory_gb": 1}, False),
        ([PoolClaim(9, {"memory_gb": 12}, granted=False)], {"memory_gb": 1}, True),
        ([PoolClaim(1, {"memory_gb": 12}, granted=False)], {"spark": 1}, True),
    ],
)
def test_a_claim_is_granted_when_it_fits_and_none_waits_longer(rivals, amounts, granted):
    assert can_grant(PoolClaim(5, amounts, granted=False), rivals, SIZES, now=0) is granted


ALWAYS = float("inf")


@pytest.mark.parametrize(
    ("rivals", "urgent_from", "granted"),
    [
        ([PoolClaim(9, {"spark": 1}, granted=False)], 0.0, True),
        ([PoolClaim(9, {"spark": 1}, granted=False)], ALWAYS, False),  # the later claim is urgent
        ([PoolClaim(9, {"memory_gb": 1}, granted=False)], ALWAYS, True),
        ([PoolClaim(1, {"spark": 1}, granted=False, urgent_from=ALWAYS)], 0.0, True),
        ([PoolClaim(1, {"spark": 1}, granted=False, urgent_from=ALWAYS)], ALWAYS, False),
        ([PoolClaim(9, {"spark": 1}, granted=False)], 100.0, True),  # its deadline has come: the first claim goes first
        ([PoolClaim(9, {"spark": 1}, granted=False)], 101.0, False),
        ([PoolClaim(1, {"spark": 1}, granted=False, urgent_from=100.0)], 0.0, False),
        ([PoolClaim(1, {"spark": 1}, granted=True, urgent_from=ALWAYS)], 0.0, False),  # a granted claim is kept
    ],
)
def test_batch_work_gives_way_until_its_deadline_and_is_not_starved_after(rivals, urgent_from, granted):
    claim = PoolClaim(5, {"spark": 1}, granted=False, urgent_from=urgent_from)
    assert can_grant(claim, rivals, SIZES, now=100.0) is granted


STOPPED = threading.Event()
STOPPED.set()
"""A claim with it is granted at once or never."""


def claims_in(file):
    """How many claims wait, or are granted."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT count(*) FROM claims").fetchone()[0]


def test_batch_work_that_waits_longer_lets_urgent_work_pass(tmp_path):
    file, order, never = tmp_path / "pools.sqlite", [], threading.Event()

    def claim(name, urgent_from):
        with Pools(file, SIZES, urgent_from).claimed({"spark": 1}, name, never):
            order.append(name)

    with Pools(file, SIZES).claimed({"spark": 1}, "first", never):
        threads = []
        for name, urgent_from in (("batch", ALWAYS), ("overdue", 1.0), ("urgent", 0.0)):
            threads.append(threading.Thread(target=claim, args=(name, urgent_from)))
            threads[-1].start()
            wait_until(lambda: claims_in(file) == 1 + len(threads))
    for thread in threads:
        thread.join(timeout=HANG_SECONDS)
    assert order == ["overdue", "urgent", "batch"]


def test_a_file_of_an_older_version_is_used_and_upgraded(tmp_path):
    file = tmp_path / "pools.sqlite"
    with closing(sqlite3.connect(file)) as database:
        database.execute(
            "CREATE TABLE claims (id INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, process_started REAL"
            " NOT NULL, what TEXT NOT NULL, wants TEXT NOT NULL, granted INTEGER NOT NULL DEFAULT 0)"
        )
    with Pools(file, SIZES, ALWAYS).claimed({"spark": 1}, "first", STOPPED) as waited:
        assert waited is not None


claim_amounts = st.dictionaries(st.sampled_from(sorted(SIZES)), st.sampled_from([0.25, 0.5, 1.0]), min_size=1)
claim_urgent_from = st.sampled_from([0.0, 1.0, ALWAYS])


@given(st.lists(st.tuples(claim_amounts, claim_urgent_from), min_size=1, max_size=8), st.randoms())
def test_whatever_comes_and_goes_no_pool_is_exceeded_and_every_claim_is_granted(drawn, random):
    claims = [
        PoolClaim(number, amounts, granted=False, urgent_from=urgent_from)
        for number, (amounts, urgent_from) in enumerate(drawn)
    ]
    sizes = dict.fromkeys(SIZES, 1.0)
    while claims:
        waiting = [claim for claim in claims if not claim.granted]
        random.shuffle(waiting)
        for claim in waiting:
            rivals = [rival for rival in claims if rival.id != claim.id]
            if can_grant(claim, rivals, sizes, now=0):
                claims = [*rivals, replace(claim, granted=True)]
        for pool, size in sizes.items():
            assert sum(claim.amounts.get(pool, 0) for claim in claims if claim.granted) <= size
        granted = [claim for claim in claims if claim.granted]
        assert granted, "no claim can go on"
        claims.remove(random.choice(granted))


def test_a_waiting_claim_is_granted_when_the_first_one_ends(pools):
    order = []
    never = threading.Event()

    def second():
        with pools.claimed({"spark": 1}, "second", never) as waited:
            order.append(("second", waited))

    with pools.claimed({"spark": 1}, "first", STOPPED) as waited:
        assert waited is not None
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: claims_in(pools.file) == 2)
        order.append(("first", waited))
    thread.join(timeout=HANG_SECONDS)
    assert [name for name, _ in order] == ["first", "second"]
    assert order[1][1] > order[0][1], "the seconds of waiting"


def test_a_claim_that_is_stopped_while_it_waits_is_not_granted_and_removed(pools):
    with pools.claimed({"spark": 1}, "first", STOPPED), pools.claimed({"spark": 1}, "second", STOPPED) as waited:
        assert waited is None
    with pools.claimed({"spark": 1}, "third", STOPPED) as waited:
        assert waited is not None


HOLDER = """
import sys, threading, time
from pathlib import Path
from stagebook.executor.pools import Pools
pools = Pools(Path(sys.argv[1]), {"spark": 1})
with pools.claimed({"spark": 1}, sys.argv[2], threading.Event()):
    inside = Path(sys.argv[1]).parent / "inside"
    inside.mkdir()  # fails if another is inside
    print("in", flush=True)
    time.sleep(float(sys.argv[3]))
    inside.rmdir()
"""


def holder(pools, name, seconds):
    command = [sys.executable, "-c", HOLDER, str(pools.file), name, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_never_exceed_a_pool(pools):
    pools.file.parent.mkdir()
    processes = [holder(pools, str(number), 0.2) for number in range(4)]
    assert [process.wait(timeout=HANG_SECONDS) for process in processes] == [0, 0, 0, 0]


def test_the_claim_of_a_killed_process_is_free_again(pools):
    pools.file.parent.mkdir()
    process = holder(pools, "killed", 600)
    assert process.stdout and process.stdout.readline() == "in\n"
    process.kill()
    process.wait()
    with pools.claimed({"spark": 1}, "next", STOPPED) as waited:
        assert waited is not None
