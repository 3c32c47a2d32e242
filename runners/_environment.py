"""Runners work from any shell: where this Python lacks the kit, they go on in the project's own."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def ensure(script: str) -> None:
    """Return if the kit can be imported; else start the script again through uv, or say what to install."""
    if importlib.util.find_spec("stagebook") is not None:
        return
    uv = shutil.which("uv")
    if uv and "STAGEBOOK_RUNNER" not in os.environ:
        os.environ["STAGEBOOK_RUNNER"] = "1"
        os.execv(uv, [uv, "run", "--project", str(ROOT), "python", script, *sys.argv[1:]])
    sys.exit(
        f"{sys.executable} has no 'stagebook'. Either:\n"
        "  pip install uv                      and call this again, or\n"
        f"  conda env create -f {ROOT / 'environment.yml'} && conda activate stagebook"
    )
