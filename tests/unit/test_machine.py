"""A process in a container has the memory of the container."""

import psutil
import pytest

from stagebook.machine import Memory, memory, oom_kills

MB = 1024**2


@pytest.fixture
def cgroups(tmp_path):
    """`cgroups("0::/a/b", {"a/memory.max": "1000"})` returns the two paths that `memory` takes."""

    def make(own, files):
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        (tmp_path / "own").write_text(f"{own}\n")
        return tmp_path / "own", tmp_path / "root"

    return make


V2 = {"a/memory.max": 300 * MB, "a/memory.current": 200 * MB, "a/memory.stat": f"anon 5\ninactive_file {50 * MB}"}
V1 = {
    "memory/a/memory.limit_in_bytes": 300 * MB,
    "memory/a/memory.usage_in_bytes": 200 * MB,
    "memory/a/memory.stat": f"inactive_file 7\ntotal_inactive_file {50 * MB}",
}
HOST = {name.removeprefix("a/"): text for name, text in V2.items()}


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a", V2),
        ("0::/a/b", V2 | {"a/b/memory.max": "max"}),
        ("0::/a/b", V2 | {"a/b/memory.max": 900 * MB, "a/b/memory.current": 100 * MB}),
        ("0::/docker/of-the-host", HOST),
        ("5:cpu:/x\n4:memory:/a\n0::/", V1),
        ("4:memory:/a", V1 | {"memory/memory.limit_in_bytes": 9223372036854771712}),
    ],
)
def test_the_narrowest_limit_counts_and_cached_files_are_free(cgroups, own, files):
    assert memory(*cgroups(own, files)) == Memory(300 * MB, 150 * MB)


@pytest.mark.parametrize("files", [{}, {"a/memory.max": "max"}, {"a/memory.max": 2**62}])
def test_without_a_limit_the_memory_is_that_of_the_machine(cgroups, files):
    measured, machine = memory(*cgroups("0::/a", files)), psutil.virtual_memory()
    assert measured.total == machine.total
    assert abs(measured.free - machine.available) < 500 * MB


def test_without_control_groups_the_memory_is_that_of_the_machine(tmp_path):
    assert memory(tmp_path / "none", tmp_path).total == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("own", "files", "kills"),
    [
        ("0::/a", {"a/memory.events": "low 0\noom 9\noom_kill 2", "memory.events": "oom_kill 3"}, 6),
        ("4:memory:/a", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4"}, 5),
        ("0::/a", {}, 1),
    ],
)
def test_out_of_memory_kills_are_counted_in_all_groups_and_the_machine(cgroups, tmp_path, own, files, kills):
    own, root = cgroups(own, files)
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 1\n")
    assert oom_kills(own, root, tmp_path / "vmstat") == kills
