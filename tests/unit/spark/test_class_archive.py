"""The class archive: one server writes it, later ones use it, and unfinished ones are deleted."""

import os
from pathlib import Path

import pytest

from stagebook.spark.class_archive import ClassArchive, archive_file


def test_one_server_archives_the_classes_and_the_next_uses_them(tmp_path):
    file = archive_file(tmp_path, Path("/java"), [])
    first, second = ClassArchive.claim(file, os.getpid()), ClassArchive.claim(file, os.getpid())
    assert f"ArchiveClassesAtExit={first.partial}" in first.jvm_option
    assert second.partial is None, "one is enough"
    assert first.partial is not None
    first.partial.write_text("classes")
    first.publish(used_seconds=60, complete=True)
    assert file.read_text() == "classes"
    third = ClassArchive.claim(file, os.getpid())
    assert f"SharedArchiveFile={file}" in third.jvm_option
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(("used_seconds", "complete"), [(0, True), (60, False)])
def test_the_partial_archive_of_a_killed_or_unused_server_is_deleted(tmp_path, used_seconds, complete):
    file = archive_file(tmp_path, Path("/java"), [])
    abandoned = file.with_name(f"{file.name}.999999999")
    abandoned.touch()
    archive = ClassArchive.claim(file, os.getpid())
    assert not abandoned.exists()
    assert archive.partial is not None
    archive.partial.write_text("classes")
    archive.publish(used_seconds=used_seconds, complete=complete)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_archive_is_not_published(tmp_path):
    archive = ClassArchive.claim(archive_file(tmp_path, Path("/java"), []), os.getpid())
    archive.publish(used_seconds=60, complete=True)
    assert list(tmp_path.iterdir()) == []


def test_another_jar_or_another_java_needs_another_archive(tmp_path):
    jar = tmp_path / "a.jar"
    jar.touch()
    file = archive_file(tmp_path, Path("/java"), [jar])
    assert archive_file(tmp_path, Path("/java"), [jar]) == file
    assert archive_file(tmp_path, Path("/java"), []) != file
    assert archive_file(tmp_path, Path("/other"), [jar]) != file
