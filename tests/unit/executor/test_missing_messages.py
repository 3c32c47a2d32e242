"""A cell has an end, and the right one, whatever messages are lost, late or too many."""

import pytest
from fixtures.attempts import shown, states

from stagebook.model.record import AttemptStatus as A

LOSE = """
session = get_ipython().kernel.session
send = session.send
def lossy(stream, message, content=None, *rest, **options):
    if {condition}:
        return {{"content": content}}
    return send(stream, message, content, *rest, **options)
session.send = lossy
"""
LOSE_REPLY = LOSE.format(condition="message == 'execute_reply'")
LOSE_IDLE = LOSE.format(condition="message == 'status' and content['execution_state'] == 'idle'")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("print('done')", "NoReply", "the kernel did not say how the cell ended"),
        ("1 / 0", "ZeroDivisionError", "division by zero"),
    ],
)
def test_a_cell_whose_reply_is_lost_has_failed_and_nobody_waits_for_it(attempt, code, kind, message):
    outcome, node = attempt("1", f"{LOSE_REPLY}\n{code}", "'never'")
    assert (outcome.status, outcome.error) == (A.FAILED, {"type": kind, "message": message, "cell": 2})
    assert states(node) == ["completed", "failed", "pending"]


def test_a_cell_whose_kernel_does_not_say_that_it_is_idle_has_ended_with_its_reply(attempt):
    outcome, node = attempt(f"{LOSE_IDLE}\nprint('one')", "session.send = send\nprint('two')")
    assert (outcome.status, outcome.error) == (A.SUCCEEDED, None)
    assert shown(node) == "one\ntwo\n"


WIDGETS = """
from comm import create_comm
state = {"_model_module": "@jupyter-widgets/output", "_model_name": "OutputModel", "outputs": [], "msg_id": ""}
outer, inner = (create_comm(target_name="jupyter.widget", data={"state": dict(state)}) for _ in range(2))
here = get_ipython().kernel.get_parent()["header"]["msg_id"]
outer.send({"method": "update", "state": {"msg_id": here}})
print("to the outer one")
inner.send({"method": "update", "state": {"msg_id": here}})
for number in range(300):
    print("to the inner one", number, flush=True)
outer.send({"method": "update", "state": {"msg_id": ""}})
inner.send({"method": "update", "state": {"msg_id": ""}})
print("to the cell")
"""


def test_widgets_that_take_each_others_output_do_not_hold_up_a_cell(attempt):
    outcome, node = attempt(WIDGETS, "print('next')")
    assert (outcome.status, outcome.error) == (A.SUCCEEDED, None)
    assert shown(node).splitlines()[-2:] == ["to the cell", "next"]


@pytest.mark.parametrize(
    "code", ["while True: print('x' * 80)", "while True: pass", "import asyncio; await asyncio.sleep(99)"]
)
def test_a_time_limit_holds_however_busy_the_kernel_is(attempt, code):
    outcome, node = attempt("1", code, "2", timeout_seconds=3)
    assert (outcome.status, outcome.error["cell"]) == (A.TIMEOUT, 2)
    assert states(node) == ["completed", "failed", "pending"]


def test_what_a_kernel_said_before_it_died_is_kept(attempt):
    outcome, node = attempt("print('last words', flush=True)\nimport os, time; time.sleep(1); os._exit(7)")
    assert (outcome.status, outcome.error["message"]) == (
        A.KERNEL_DIED,
        "the kernel ended by itself with exit status 7",
    )
    assert shown(node) == "last words\n"


def test_text_that_comes_in_pieces_is_one_output_with_nothing_lost(attempt):
    pieces = "import sys\nfor n in range(2000):\n    print(n, flush=True)\nprint('end', file=sys.stderr)\nprint('more')"
    outcome, node = attempt(pieces)
    assert outcome.status is A.SUCCEEDED
    outputs = node.cells[0].outputs
    assert len(outputs) <= 4
    printed = "".join(output.text for output in outputs if output.name == "stdout")
    assert printed == "".join(f"{n}\n" for n in range(2000)) + "more\n"


@pytest.mark.parametrize("wait", [False, True])
def test_an_output_that_is_cleared_is_not_continued(attempt, wait):
    code = f"from IPython.display import clear_output\nfor n in range(3):\n    clear_output(wait={wait})\n    print(n)"
    outcome, node = attempt(f"{code}\nprint('end', flush=True)\nprint('end')")
    assert outcome.status is A.SUCCEEDED
    assert [output.text for output in node.cells[0].outputs] == ["2\nend\nend\n"]
