import os

from stagebook.runner.background_process import calls


def test_of_tasks_that_wait_only_the_last_of_each_name_is_called():
    read, write = os.pipe()
    os.write(write, b"1 prepare\n2 sync\n3 render\n4 sync\n5 render\n6 fin")
    pending = calls(read)
    assert [next(pending), next(pending), next(pending)] == [("1", "prepare"), ("4", "sync"), ("5", "render")]
    os.write(write, b"ish\n")
    os.close(write)
    assert list(pending) == [("6", "finish")]
    os.close(read)
