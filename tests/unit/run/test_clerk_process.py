import os

from stagebook.run.clerk_process import calls


def test_of_words_that_wait_only_the_last_of_each_is_called():
    read, write = os.pipe()
    os.write(write, b"1 prepare\n2 sync\n3 render\n4 sync\n5 render\n6 fin")
    found = calls(read)
    assert [next(found), next(found), next(found)] == [("1", "prepare"), ("4", "sync"), ("5", "render")]
    os.write(write, b"ish\n")
    os.close(write)
    assert list(found) == [("6", "finish")]
    os.close(read)
