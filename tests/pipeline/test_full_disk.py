"""A disk that becomes full: sentences, the right exit status, and a record that tells how the run ended."""

import json
import subprocess
import sys

from fixtures.small_disk import on_small_disk
from pipeline.conftest import environment

from stagebook.model.record import AttemptStatus, RunStatus, StageStatus
from stagebook.runs.folders import RunFolder

FILL = """\
with open({path!r}, 'wb') as file:
    try:
        while True:
            file.write(b'x' * 4096)
            file.flush()
    except OSError:
        pass
"""


def test_a_disk_that_a_stage_fills_ends_the_run_in_words_and_its_record_says_so(
    notebook, params, tmp_path, shared_warehouse
):
    notebook("a", FILL.format(path=str(tmp_path / "runs/fill")))
    lines = ["pipeline: demo", "stages:", "  a: {notebook: notebooks/a.ipynb, max_retries: 0, kernel: cold}"]
    # Enough events for more than the rest of the journal's last block, which it has in any case.
    lines += [f"  b{number}: {{notebook: notebooks/a.ipynb, depends_on: [a]}}" for number in range(60)]
    params("dev", "\n".join(lines))
    copy = tmp_path / "copy"
    command = on_small_disk(
        tmp_path / "runs", "size=1m", copy, [sys.executable, "-m", "stagebook.cli", "run", "--run-id", "r"]
    )
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(shared_warehouse), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "cannot be written (No space left on device).\n  Free space" in ended.stderr
    assert "--resume r" in ended.stdout + ended.stderr
    record = RunFolder(copy / "r").load()
    assert (record.status, record.exit_code) == (RunStatus.FAILED, 1)
    assert record.stages["a"].status is StageStatus.FAILED
    [attempt] = record.stages["a"].attempts
    assert attempt.status is AttemptStatus.FAILED
    assert "No space left on device" in attempt.error["message"]
    assert json.loads((copy / "r/run.json").read_text())["status"] == "failed"
