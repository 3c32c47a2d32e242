"""Find a Java for Spark. Spark 4.2 runs on 17 or 21; nothing else of the kit needs one."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stagebook.errors import JavaMissing

SUPPORTED = (17, 21)


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of a Java that Spark runs on: JAVA_HOME's, else the one on the PATH.

    Raises:
        JavaMissing: there is none, or it is too old or too new.
    """
    java_home = environ.get("JAVA_HOME")
    on_path = shutil.which("java", path=environ.get("PATH"))
    program = Path(java_home) / "bin" / "java" if java_home else Path(on_path or "java")
    if not program.exists():
        raise JavaMissing.of(
            f"JAVA_HOME is {java_home}, and there is no bin/java in it" if java_home else "there is none"
        )
    folder = program.resolve().parent.parent
    version = _version(folder)
    if version not in SUPPORTED:
        raise JavaMissing.of(f"{program} is {f'Java {version}' if version else 'of an unknown version'}")
    return folder


def _version(folder: Path) -> int | None:
    """The feature version, from the installation's `release` file, else from `java -version`."""
    release = folder / "release"
    if release.exists():
        text = release.read_text(encoding="utf-8", errors="replace")
    else:
        output = subprocess.run([str(folder / "bin" / "java"), "-version"], capture_output=True, text=True, check=False)
        text = output.stderr.replace("version", "JAVA_VERSION=", 1).replace("= ", "=")
    match = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
    return int(match[1]) if match else None
