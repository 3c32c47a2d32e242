"""The files of an exported bundle that a second export writes anew: packages of the wheel, requirements."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stagebook.databricks.export.job import REQUIREMENTS, WHEEL
from stagebook.databricks.import_.source_job import SourceJob


def settings(source: SourceJob, bundle_folder: Path, root: Path) -> dict[str, list[str]]:
    """`packages` and `requirements` of the section `databricks`, if the tasks name the wheel or the file.

    Args:
        root: the project's root, which packages count from.
    """
    texts, result = set(_texts(source.values)), {}
    if WHEEL in texts and (packages := _packages(bundle_folder / "pyproject.toml", root)):
        result["packages"] = packages
    if REQUIREMENTS in texts and (requirements := _requirements(source.folder / REQUIREMENTS)):
        result["requirements"] = requirements
    return result


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def _packages(project: Path, root: Path) -> list[str]:
    """The folders that the wheel's project includes, from the root; none if the project is not one of an export."""
    try:
        build = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
        included = build["force-include"]
        if build["bypass-selection"] is not True:
            return []
        folders = [os.path.relpath(project.parent / folder, root) for folder in included]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [Path(folder).as_posix() for folder in folders]


def _requirements(file: Path) -> list[str]:
    """The requirements of a file; none if it has options, which a parameter file cannot hold."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    requirements = [line for line in lines if line and not line.startswith("#")]
    return [] if any(line.startswith("-") for line in requirements) else requirements
