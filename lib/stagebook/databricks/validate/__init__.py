"""Checks any bundle or job, of ours or of others: structure, graph and values, each finding with file and line.

`check` is the entrance, called by `stagebook databricks validate` and before an import. The checks complement
Databricks' own models, which know fields, enums and types, and nothing beyond (and cannot be shipped).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stagebook.config.findings import Finding
from stagebook.config.yaml_file import Document
from stagebook.databricks import merge_patch
from stagebook.databricks.validate import graph, serving, structure, values
from stagebook.databricks.validate.structure import Location
from stagebook.databricks.validate.subject import is_api_response, is_bundle, job_keys, subjects


@dataclass(frozen=True)
class ValidationResult:
    """How many jobs were checked, and with which result. A note is about a setting that Databricks accepts and ignores,
    or a reference that fails only when the job runs."""

    jobs: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]


def check(documents: Sequence[Document], timezones: frozenset[str]) -> ValidationResult:
    """Check the files of one bundle, or one job, together.

    Args:
        documents: a bundle's `databricks.yml` and what it includes; or a job as YAML or JSON of the Jobs API.
        timezones: the names that a schedule may use.
    """
    findings = [finding for document in documents for finding in _document(document)]
    jobs = subjects(documents)
    for job in jobs:
        findings += [finding for rule in (*graph.RULES, *values.RULES) for finding in rule(job)]
        findings += values.schedules(job, timezones)
    notes = [finding for job in jobs for rule in (*graph.NOTES, *values.NOTES) for finding in rule(job)]
    names = {name for document in documents for name, _ in job_keys(document)}
    return ValidationResult(len(names), _sorted_unique(findings), _sorted_unique(notes))


def _document(document: Document) -> Iterator[Finding]:
    kind = "Response" if is_api_response(document) else "Bundle" if is_bundle(document) else "Settings"
    yield from structure.check(document.values, kind, Location(document))
    yield from serving.check(document)
    for _, key in job_keys(document):
        yield from _duplicates(document, Location(document, key))


def _duplicates(document: Document, location: Location) -> Iterator[Finding]:
    """Items of a job's lists that have the key of an earlier one."""
    job = document.values
    for name in location.key:
        job = job[str(name)]
    for name, key in merge_patch.ITEM_KEYS.items():
        items = job.get(name) if isinstance(job, Mapping) else None
        earlier: set[str] = set()
        for index, item in enumerate(items if isinstance(items, list) else ()):
            item_key = item.get(key) if isinstance(item, Mapping) else None
            if isinstance(item_key, str) and item_key in earlier:
                yield location.at(name).at(index).at(key).finding(f"'{item_key}' occurs twice among the {name}.")
            if isinstance(item_key, str):
                earlier.add(item_key)


def _sorted_unique(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings in the order of files and lines, each once."""

    def position(finding: Finding) -> tuple[str, int]:
        file, _, line = finding.where.rpartition(":")
        return file, int(line)

    return tuple(sorted(dict.fromkeys(findings), key=position))
