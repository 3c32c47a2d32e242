"""One YAML file as plain values, with the line of each.

YAML 1.2 through ruamel.yaml: `no` is a string, `012` is 12, `1e-3` a number, `12:30` and dates are strings. Refused
are aliases (a 300-byte alias bomb grows nine-fold a level), tags, duplicate keys, and files that are
larger or deeper than any pipeline needs. Other people's files may contain aliases and merge keys (`allow_aliases`);
then the size that they grow to is limited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser

from stagebook.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 200_000

_MERGE = "tag:yaml.org,2002:merge"

Key = tuple[str | int, ...]
"""The keys from the top of a document to a value: `("stages", "train", "max_retries")`."""


class InvalidYaml(ConfigError):
    """A file is not YAML of the kind that is accepted here."""

    @classmethod
    def at(cls, path: str, line: int, reason: str) -> Self:
        return cls(f"{path}:{line}: {reason}")


@dataclass
class Document:
    """A parsed mapping and the line (from 1) of every key in it."""

    path: str
    values: dict[str, Any]
    lines: dict[Key, int] = field(default_factory=dict)


def read(path: Path, label: str, *, allow_aliases: bool = False) -> Document:
    """Parse a YAML or JSON file (JSON is YAML, except for its tabs); messages name it by its `label`.

    Raises:
        InvalidYaml: with the line and what to write instead.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InvalidYaml.at(label, 1, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidYaml.at(label, 1, f"this is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    return parse(text.replace("\t", " ") if path.suffix == ".json" else text, label, allow_aliases=allow_aliases)


def parse(text: str, label: str, *, allow_aliases: bool = False) -> Document:
    """Parse the text of a YAML file; an empty text is an empty mapping. Otherwise as `read`."""
    yaml = _yaml(label, allow_aliases)
    node = _compose(yaml, text, label)
    document = Document(label, {})
    if node is not None:
        if not isinstance(node, MappingNode):
            raise InvalidYaml.at(label, node.start_mark.line + 1, "the file must be a mapping of `key: value` lines.")
        document.values = _value(node, (), document, yaml)
    return document


def parse_value(text: str) -> Any:
    """The YAML value of a flag or environment variable: `3` → 3, `[a, b]` → a list, `no` → "no".

    Raises:
        InvalidYaml: if the text is not one YAML value.
    """
    yaml = _yaml("value")
    node = _compose(yaml, text, "value")
    return None if node is None else _value(node, (), Document("value", {}), yaml)


def _yaml(label: str, allow_aliases: bool = False) -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Parser = lambda loader: _RestrictedParser(loader, label, allow_aliases)
    return yaml


def _compose(yaml: YAML, text: str, label: str) -> Node | None:
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.problem, error.context) if part)
        raise InvalidYaml.at(label, mark.line + 1 if mark else 1, f"this is not YAML: {problem}.") from None
    except YAMLError as error:
        raise InvalidYaml.at(label, 1, f"this is not YAML: {str(error).splitlines()[0]}.") from None


class _RestrictedParser(Parser):
    """A parser that refuses an alias, a tag or too many values before any value is built."""

    def __init__(self, loader: YAML, label: str, allow_aliases: bool) -> None:
        super().__init__(loader)
        self._label, self._allow_aliases = label, allow_aliases
        self._depth = self._nodes = 0

    def get_event(self) -> Any:
        """The next event.

        Raises:
            InvalidYaml: for an alias, a tag, or too many values or levels.
        """
        event = super().get_event()
        match event:
            case AliasEvent() if not self._allow_aliases:
                raise self._refused(
                    event, f"the alias '*{event.anchor}' is refused: write the value out, or use `extends`."
                )
            case CollectionEndEvent():
                self._depth -= 1
            case CollectionStartEvent() | ScalarEvent():
                self._nodes += 1
                self._depth += isinstance(event, CollectionStartEvent)
                if event.tag is not None and event.tag != "!":
                    raise self._refused(event, f"the tag '{event.tag}' is refused: plain values only.")
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise self._refused(event, f"deeper than {MAX_DEPTH} levels or more than {MAX_NODES:,} values.")
        return event

    def _refused(self, event: Any, reason: str) -> InvalidYaml:
        return InvalidYaml.at(self._label, event.start_mark.line + 1 if event.start_mark else 1, reason)


def _value(node: Node, key: Key, document: Document, yaml: YAML) -> Any:
    document.lines.setdefault(key, node.start_mark.line + 1)
    if len(document.lines) > MAX_NODES or len(key) > MAX_DEPTH:
        line = node.start_mark.line + 1
        raise InvalidYaml.at(document.path, line, f"its aliases grow to more than {MAX_NODES:,} values.")
    match node:
        case MappingNode():
            return _mapping(node, key, document, yaml)
        case SequenceNode():
            return [_value(item, (*key, index), document, yaml) for index, item in enumerate(node.value)]
        case ScalarNode(tag="tag:yaml.org,2002:timestamp"):
            return node.value
        case _:
            return yaml.constructor.construct_object(node)


def _merge_nodes(node: MappingNode) -> Iterator[Node]:
    """The mappings that `<<` merges into a node, the one that wins last."""
    for name, value in node.value:
        if name.tag == _MERGE:
            yield from reversed(value.value) if isinstance(value, SequenceNode) else (value,)


def _mapping(node: MappingNode, key: Key, document: Document, yaml: YAML) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for base in _merge_nodes(node):
        base_values = _value(base, key, document, yaml)
        if not isinstance(base_values, dict):
            raise InvalidYaml.at(document.path, base.start_mark.line + 1, "'<<' takes mappings only.")
        values |= base_values
    own_names: set[str] = set()
    for name_node, value_node in (pair for pair in node.value if pair[0].tag != _MERGE):
        line = name_node.start_mark.line + 1
        name = _value(name_node, (*key, "?"), document, yaml)
        if not isinstance(name, str):
            raise InvalidYaml.at(document.path, line, f"the key {name!r} is not text: put it in quotes.")
        if name in own_names:
            raise InvalidYaml.at(document.path, line, f"the key '{name}' occurs twice in the same mapping.")
        own_names.add(name)
        document.lines[(*key, name)] = line
        values[name] = _value(value_node, (*key, name), document, yaml)
    return values
