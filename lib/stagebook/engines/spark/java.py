"""Which Java there is. Spark 4.2 runs on 17 or 21; nothing else of the kit needs one."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stagebook.errors import JavaMissing

SUPPORTED = (17, 21)


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a Java that Spark runs on: JAVA_HOME, else the one on the PATH.

    Raises:
        JavaMissing: there is none, or it is too old or too new.
    """
    found = environ.get("JAVA_HOME")
    program = Path(found) / "bin" / "java" if found else Path(shutil.which("java", path=environ.get("PATH")) or "java")
    if not program.exists():
        raise JavaMissing.of("there is none" if not found else f"JAVA_HOME is {found}, and there is no bin/java in it")
    folder = program.resolve().parent.parent
    version = _version(folder)
    if version not in SUPPORTED:
        raise JavaMissing.of(f"{program} is {f'Java {version}' if version else 'of an unknown version'}")
    return folder


def _version(folder: Path) -> int | None:
    """The feature version, from the installation's own `release` file; asked of the program without one."""
    release = folder / "release"
    if release.exists():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        asked = subprocess.run([str(folder / "bin" / "java"), "-version"], capture_output=True, text=True, check=False)
        text = asked.stderr.replace("version", "JAVA_VERSION=", 1).replace("= ", "=")
    match = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None
