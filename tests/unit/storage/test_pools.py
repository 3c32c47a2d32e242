"""Pools hold across processes, in the order of asking, and are given back by the dead."""

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagebook.storage.pools import Claim, Pools, may_have

SIZES = {"spark": 1.0, "memory_gb": 12.0}


@pytest.fixture
def pools(tmp_path):
    return Pools(tmp_path / "state/pools.sqlite", SIZES)


@pytest.mark.parametrize(
    ("others", "wants", "granted"),
    [
        ([], {"spark": 1}, True),
        ([Claim(1, {"spark": 1}, granted=True)], {"spark": 1}, False),
        ([Claim(1, {"spark": 1}, granted=True)], {"memory_gb": 12}, True),
        ([Claim(1, {"memory_gb": 8}, granted=True)], {"memory_gb": 4}, True),
        ([Claim(1, {"memory_gb": 8}, granted=True)], {"memory_gb": 4.5}, False),
        ([Claim(1, {"memory_gb": 12}, granted=False)], {"memory_gb": 1}, False),
        ([Claim(9, {"memory_gb": 12}, granted=False)], {"memory_gb": 1}, True),
        ([Claim(1, {"memory_gb": 12}, granted=False)], {"spark": 1}, True),
    ],
)
def test_a_claim_is_granted_when_it_fits_and_nobody_waited_longer(others, wants, granted):
    assert may_have(Claim(5, wants, granted=False), others, SIZES) is granted


wanted = st.dictionaries(st.sampled_from(sorted(SIZES)), st.sampled_from([0.25, 0.5, 1.0]), min_size=1)


@given(st.lists(wanted, min_size=1, max_size=8), st.randoms())
def test_whatever_comes_and_goes_no_pool_is_exceeded_and_everybody_gets_a_turn(asked, random):
    claims = [Claim(number, wants, granted=False) for number, wants in enumerate(asked)]
    sizes = dict.fromkeys(SIZES, 1.0)
    while claims:
        waiting = [claim for claim in claims if not claim.granted]
        random.shuffle(waiting)
        for claim in waiting:
            others = [other for other in claims if other.id != claim.id]
            if may_have(claim, others, sizes):
                claims = [*others, Claim(claim.id, claim.wants, granted=True)]
        for pool, size in sizes.items():
            assert sum(claim.wants.get(pool, 0) for claim in claims if claim.granted) <= size
        held = [claim for claim in claims if claim.granted]
        assert held, "nobody can go on"
        claims.remove(random.choice(held))


def test_who_waits_is_served_when_the_other_is_done(pools):
    order = []
    never = threading.Event()

    def second():
        with pools.held({"spark": 1}, "second", never) as waited:
            order.append(("second", waited))

    with pools.held({"spark": 1}, "first", never) as waited:
        assert waited < 0.2
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        order.append(("first", waited))
    thread.join(timeout=10)
    assert [name for name, _ in order] == ["first", "second"]
    assert order[1][1] > 0.3


def test_who_is_stopped_while_waiting_gets_nothing_and_leaves_no_claim(pools):
    stop = threading.Event()
    stop.set()
    with pools.held({"spark": 1}, "first", threading.Event()), pools.held({"spark": 1}, "second", stop) as waited:
        assert waited is None
    with pools.held({"spark": 1}, "third", threading.Event()) as waited:
        assert waited < 0.2


HOLDER = """
import sys, threading, time
from pathlib import Path
from stagebook.storage.pools import Pools
pools = Pools(Path(sys.argv[1]), {"spark": 1})
with pools.held({"spark": 1}, sys.argv[2], threading.Event()):
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
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]


def test_what_a_killed_process_held_is_free_again(pools):
    pools.file.parent.mkdir()
    process = holder(pools, "killed", 600)
    assert process.stdout and process.stdout.readline() == "in\n"
    process.kill()
    process.wait()
    with pools.held({"spark": 1}, "next", threading.Event()) as waited:
        assert waited < 0.3
