"""Java for Spark: JAVA_HOME or the PATH, in a version that Spark runs on."""

from pathlib import Path

import pytest

from stagebook.errors import JavaMissing
from stagebook.spark import java


def java_folder(folder: Path, version: str | None) -> Path:
    (folder / "bin").mkdir()
    (folder / "bin" / "java").touch(mode=0o755)
    if version:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "21", "21.0.1"])
def test_java_17_and_21_are_accepted(tmp_path, version):
    home = java_folder(tmp_path, version)
    assert java.home({"JAVA_HOME": str(home)}) == home
    assert java.home({"PATH": str(home / "bin")}) == home


@pytest.mark.parametrize(
    ("version", "message"),
    [("1.8.0_402", "Java 8"), ("11.0.2", "Java 11"), ("25", "Java 25"), ("odd", "of an unknown version")],
)
def test_other_javas_are_refused_with_what_to_do(tmp_path, version, message):
    home = java_folder(tmp_path, version)
    with pytest.raises(JavaMissing, match=rf"needs Java 17 or 21, and .*/bin/java is {message}") as error:
        java.home({"JAVA_HOME": str(home)})
    assert "apt-get install openjdk-17-jre-headless" in str(error.value)
    assert "--engine pandas" in str(error.value)


def test_a_missing_java_is_an_error(tmp_path):
    with pytest.raises(JavaMissing, match="and there is none"):
        java.home({"PATH": str(tmp_path)})
    with pytest.raises(JavaMissing, match=f"JAVA_HOME is {tmp_path}, and there is no bin/java in it"):
        java.home({"JAVA_HOME": str(tmp_path), "PATH": "/usr/bin"})
