"""README is short, and its commands print what it says, one after another in a fresh clone with an empty home."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAME_ENVIRONMENT = {"UV_PROJECT_ENVIRONMENT": sys.prefix, "UV_NO_SYNC": "1"}
"""uv takes the environment of these tests; how it makes one is shown by the campaign, which takes minutes."""


def commands() -> list[tuple[str, str]]:
    """The commands of the page with what each of them prints."""
    blocks = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [
        (command, output)
        for block in blocks
        for command, output in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    ]


def comparable(output: str) -> str:
    """Without what differs from run to run: times, seconds, dollars, run ids, the folder and uv's own lines."""
    for pattern, replacement in (
        (r"\b\d\d:\d\d:\d\d\b", "TIME"),
        (r"\b\d{8}T\d{6}Z-[0-9a-f]{6}\b", "RUN"),
        (r"\d+\.\d+", "NUMBER"),
        (r"\S*/runs/", "/runs/"),
        (r"^done\.\n", ""),
        (r"^(Using|Creating|Building|Built|Installed|Bytecode|Downloading|Downloaded|Prepared|Resolved|   ) .*\n", ""),
        (r"[ \t]+", " "),
    ):
        output = re.sub(pattern, replacement, output, flags=re.MULTILINE)
    return output.strip()


def test_it_is_short():
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900


@pytest.fixture(params=[pytest.param(True, marks=pytest.mark.slow), pytest.param(False, marks=pytest.mark.campaign)])
def newcomer(request, tmp_path) -> dict[str, str]:
    """Variables of somebody with an empty home: with the environment of these tests, or with none."""
    (tmp_path / "home").mkdir()
    shared = SAME_ENVIRONMENT if request.param else {}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("STAGEBOOK_")}
    state = {"STAGEBOOK_STATE_DIR": os.environ["STAGEBOOK_STATE_DIR"]}
    return inherited | state | shared | {"HOME": str(tmp_path / "home")}


def test_its_commands_print_what_it_says(newcomer, tmp_path):
    words = "\n".join(f"{{ {command}; }} 2>&1\necho @@@" for command, _ in commands())
    script = re.sub(r"\bADDRESS\b", str(fresh_clone(tmp_path / "origin")), words)
    process = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env=newcomer, capture_output=True, text=True, check=False, timeout=1800
    )
    assert process.returncode == 0, process.stdout + process.stderr
    printed = process.stdout.split("@@@\n")[:-1]
    assert [comparable(output) for output in printed] == [comparable(output) for _, output in commands()]


def fresh_clone(folder: Path) -> Path:
    """A repository with the files of this folder as they are now, committed or not."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "clone", "--quiet", str(ROOT), str(folder)], check=True)
    listing = [*git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    current = set(subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")) - {
        ""
    }
    cloned = set(
        subprocess.run([*git, "ls-files", "-z"], cwd=folder, capture_output=True, text=True, check=True).stdout.split(
            "\0"
        )
    )
    for name in (cloned | current) - {""}:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        else:
            (folder / name).unlink(missing_ok=True)
    subprocess.run([*git, "add", "--all"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "as it is now"], cwd=folder, check=True)
    return folder
