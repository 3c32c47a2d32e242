"""Why two cache keys differ, in words: pure functions, the most telling difference first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from stagebook.cache.key import CacheKeyInputs, RegistryUse, TableState, canonical


def differences(before: CacheKeyInputs, current: CacheKeyInputs, packages: "Packages | None" = None) -> list[str]:
    """What has changed between two keys, in words, the most telling first; empty if the keys are equal."""
    return [
        *_parameters(before.parameters, current.parameters),
        *_cells(before.cells, current.cells),
        *_modules(before.modules, current.modules),
        *_tables(before.tables, current.tables),
        *_variables(before.variables, current.variables),
        *([f"engine {before.engine} → {current.engine}"] if before.engine != current.engine else []),
        *([_environment(packages)] if before.environment != current.environment else []),
        *(["its tables are elsewhere now"] if before.stage != current.stage else []),
    ]


@dataclass(frozen=True)
class Packages:
    """Python and installed packages with their versions, then and now; only for telling what differs."""

    before: Mapping[str, str]
    current: Mapping[str, str]


def _parameters(before: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | current.keys()):
        if name not in current:
            yield f"parameter `{name}` is gone"
        elif name not in before:
            yield f"parameter `{name}` is new"
        elif canonical(before[name]) != canonical(current[name]):
            yield f"parameter `{name}` {_short(before[name])} → {_short(current[name])}"


def _short(value: Any) -> str:
    text = canonical(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else text[:39] + "…"


def _cells(before: Sequence[str], current: Sequence[str]) -> Iterator[str]:
    """Cells are numbered as in messages about failures: code cells with something in them, from 1."""
    if [cell for cell in before if cell] == [cell for cell in current if cell]:
        return
    matcher = SequenceMatcher(a=before, b=current, autojunk=False)
    for operation, start, end, new_start, new_end in matcher.get_opcodes():
        match operation:
            case "replace":
                yield from (f"cell {number + 1} changed" for number in range(new_start, new_end))
            case "insert":
                yield from (f"cell {number + 1} is new" for number in range(new_start, new_end) if current[number])
            case "delete":
                yield from (f"cell {number + 1} is gone" for number in range(start, end) if before[number])


def _modules(before: Mapping[str, str], current: Mapping[str, str]) -> Iterator[str]:
    """The project's modules first, then the kit's, which a user rarely changes."""
    names = [name for name in before.keys() | current.keys() if before.get(name) != current.get(name)]
    for name in sorted(names, key=lambda name: (name.startswith("stagebook"), name)):
        if name not in current:
            yield f"`{name}` is not reached any more"
        elif name not in before:
            yield f"`{name}` is reached now"
        else:
            yield f"`{name}` changed"


def _tables(before: Mapping[str, TableState], current: Mapping[str, TableState]) -> Iterator[str]:
    for name in sorted(before.keys() | current.keys()):
        old, new = before.get(name), current.get(name)
        if new is None:
            yield f"table `{name}` is not read any more"
        elif old is None:
            yield f"table `{name}` is read now"
        elif old.content != new.content:
            made_anew = " (made anew)" if old.version == new.version else ""
            yield f"table `{name}` {old.version} → {new.version}{made_anew}"


def _variables(before: Mapping[str, str], current: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(before.keys() | current.keys()):
        if before.get(name, "") != current.get(name, ""):
            yield f"environment variable `{name}` changed"


def _environment(packages: Packages | None) -> str:
    if packages is None:
        return "the environment changed"
    before, current = packages.before, packages.current
    names = sorted(name for name in before.keys() | current.keys() if before.get(name) != current.get(name))
    if not names:
        return "the environment changed"
    named = [f"{name} {before.get(name, 'none')} → {current.get(name, 'none')}" for name in names[:3]]
    remainder = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"the environment changed: {', '.join(named)}{remainder}"


def expected_aliases(uses: Sequence[RegistryUse], uri: str, model: str) -> dict[str, str | None]:
    """What a registry says of a model after these stages, in their order: what they set, else what they found."""
    aliases: dict[str, str | None] = {}
    for use in uses:
        if (use.uri, use.model) == (uri, model):
            aliases = {**use.reads, **aliases}
            aliases |= use.sets
    return aliases


def registry_changes(
    use: RegistryUse, expected: Mapping[str, str | None], current: Mapping[str, str | None]
) -> Iterator[str]:
    """Why a stage that has used the registry must run again."""
    for alias in sorted({*use.reads, *use.sets}):
        if expected.get(alias) != current.get(alias):
            yield f"`{alias}` of model {use.model} {expected.get(alias) or 'none'} → {current.get(alias) or 'none'}"
