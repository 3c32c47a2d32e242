"""Our own checks of any bundle or job: structure, graph and values, each finding with file and line.

They complement Databricks' models, which see unknown fields, enums and types, and nothing beyond (and cannot be
shipped). `check` is the entrance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stagebook.jobs import patch
from stagebook.jobs.check import graph, serving, structure, values
from stagebook.jobs.check.structure import Part
from stagebook.jobs.check.subject import is_bundle, is_response, job_keys, subjects
from stagebook.params.findings import Finding
from stagebook.params.yaml_file import Document


@dataclass(frozen=True)
class Checked:
    """What was looked at and found. A note is about a job that is taken, and does something else than it says."""

    jobs: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def check(documents: Sequence[Document], timezones: frozenset[str]) -> Checked:
    """Check the files of one bundle, or one job, together.

    Args:
        documents: a bundle's `databricks.yml` and what it includes; or a job as YAML or JSON of the Jobs API.
        timezones: the names that a schedule may use.
    """
    found = [finding for document in documents for finding in _document(document)]
    jobs = subjects(documents)
    for job in jobs:
        found += [finding for rule in (*graph.RULES, *values.RULES) for finding in rule(job)]
        found += values.schedules(job, timezones)
    notes = [finding for job in jobs for rule in (*graph.NOTES, *values.NOTES) for finding in rule(job)]
    names = {name for document in documents for name, _ in job_keys(document)}
    return Checked(len(names), _unique(found), _unique(notes))


def _document(document: Document) -> Iterator[Finding]:
    kind = "Response" if is_response(document) else "Bundle" if is_bundle(document) else "Settings"
    yield from structure.check(document.values, kind, Part(document))
    yield from serving.check(document)
    for _, key in job_keys(document):
        yield from _duplicates(document, Part(document, key))


def _duplicates(document: Document, part: Part) -> Iterator[Finding]:
    """Items of a job's lists that have the key of an earlier one."""
    job = document.values
    for name in part.key:
        job = job[str(name)]
    for name, key in patch.LISTS.items():
        items = job.get(name) if isinstance(job, Mapping) else None
        seen: set[str] = set()
        for place, item in enumerate(items if isinstance(items, list) else ()):
            own = item.get(key) if isinstance(item, Mapping) else None
            if isinstance(own, str) and own in seen:
                yield part.at(name).at(place).at(key).finding(f"'{own}' stands twice among the {name}.")
            if isinstance(own, str):
                seen.add(own)


def _unique(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """In the order of files and lines, each once."""

    def place(finding: Finding) -> tuple[str, int]:
        file, _, line = finding.where.rpartition(":")
        return file, int(line)

    return tuple(sorted(dict.fromkeys(findings), key=place))
