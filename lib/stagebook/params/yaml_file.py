"""One YAML file as plain values, and where each of them stands.

YAML 1.2 through ruamel.yaml: `no` is a string, `012` is 12, `1e-3` a number, `12:30` a string. Refused
are aliases (a 300-byte alias bomb grows nine-fold a level), tags, duplicate keys, and files that are
larger or deeper than any pipeline needs. Dates stay the strings that they look like. Files of others may
hold aliases and merge keys (`foreign`); then the limit is on what they grow to.
"""

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

MERGE = "tag:yaml.org,2002:merge"

Key = tuple[str | int, ...]
"""The way from the top of a document to a value: `("stages", "train", "max_retries")`."""


class InvalidYaml(ConfigError):
    """A parameter file is not YAML that we accept."""

    @classmethod
    def at(cls, path: str, line: int, why: str) -> Self:
        return cls(f"{path}:{line}: {why}")


@dataclass
class Document:
    """A parsed mapping and the line (from 1) of every key in it."""

    path: str
    values: dict[str, Any]
    lines: dict[Key, int] = field(default_factory=dict)


def read(path: Path, shown: str, *, foreign: bool = False) -> Document:
    """Parse a parameter file; `shown` is how messages name it. JSON is YAML, but for its tabs.

    Raises:
        InvalidYaml: with the line and what to write instead.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InvalidYaml.at(shown, 1, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidYaml.at(shown, 1, f"this is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    return parse(text.replace("\t", " ") if path.suffix == ".json" else text, shown, foreign=foreign)


def parse(text: str, shown: str, *, foreign: bool = False) -> Document:
    """Parse the text of a parameter file, or with `foreign` of any YAML file. An empty text is an empty mapping."""
    yaml = _yaml(shown, foreign)
    node = _compose(yaml, text, shown)
    document = Document(shown, {})
    if node is not None:
        if not isinstance(node, MappingNode):
            raise InvalidYaml.at(shown, node.start_mark.line + 1, "the file must be a mapping of `key: value` lines.")
        document.values = _value(node, (), document, yaml)
    return document


def scalar(text: str) -> Any:
    """The YAML value of a flag or environment variable: `3` → 3, `[a, b]` → a list, `no` → "no".

    Raises:
        InvalidYaml: if the text is not one YAML value.
    """
    yaml = _yaml("value")
    node = _compose(yaml, text, "value")
    return None if node is None else _value(node, (), Document("value", {}), yaml)


def _yaml(shown: str, foreign: bool = False) -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Parser = lambda loader: _Guarded(loader, shown, foreign)
    return yaml


def _compose(yaml: YAML, text: str, shown: str) -> Node | None:
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.problem, error.context) if part)
        raise InvalidYaml.at(shown, mark.line + 1 if mark else 1, f"this is not YAML: {what}.") from None
    except YAMLError as error:
        raise InvalidYaml.at(shown, 1, f"this is not YAML: {str(error).splitlines()[0]}.") from None


class _Guarded(Parser):
    """Refuses what a document may not hold before anything is made of it, in the one pass that composes it."""

    def __init__(self, loader: YAML, shown: str, foreign: bool) -> None:
        super().__init__(loader)
        self._shown, self._foreign = shown, foreign
        self._depth = self._nodes = 0

    def get_event(self) -> Any:
        """The next event.

        Raises:
            InvalidYaml: for an alias, a tag, or one value too many.
        """
        event = super().get_event()
        match event:
            case AliasEvent() if not self._foreign:
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

    def _refused(self, event: Any, why: str) -> InvalidYaml:
        return InvalidYaml.at(self._shown, event.start_mark.line + 1 if event.start_mark else 1, why)


def _value(node: Node, key: Key, document: Document, yaml: YAML) -> Any:
    document.lines.setdefault(key, node.start_mark.line + 1)
    if len(document.lines) > MAX_NODES or len(key) > MAX_DEPTH:
        line = node.start_mark.line + 1
        raise InvalidYaml.at(document.path, line, f"its aliases grow to more than {MAX_NODES:,} values.")
    match node:
        case MappingNode():
            return _mapping(node, key, document, yaml)
        case SequenceNode():
            return [_value(item, (*key, place), document, yaml) for place, item in enumerate(node.value)]
        case ScalarNode(tag="tag:yaml.org,2002:timestamp"):
            return node.value
        case _:
            return yaml.constructor.construct_object(node)


def _mapping(node: MappingNode, key: Key, document: Document, yaml: YAML) -> dict[str, Any]:
    values: dict[str, Any] = {}
    merged = [value for name, value in node.value if name.tag == MERGE]
    for below in (
        one for value in merged for one in reversed(value.value if isinstance(value, SequenceNode) else [value])
    ):
        inner = _value(below, key, document, yaml)
        if not isinstance(inner, dict):
            raise InvalidYaml.at(document.path, below.start_mark.line + 1, "'<<' takes mappings only.")
        values |= inner
    own: set[str] = set()
    for name_node, value_node in (pair for pair in node.value if pair[0].tag != MERGE):
        line = name_node.start_mark.line + 1
        name = _value(name_node, (*key, "?"), document, yaml)
        if not isinstance(name, str):
            raise InvalidYaml.at(document.path, line, f"the key {name!r} is not text: put it in quotes.")
        if name in own:
            raise InvalidYaml.at(document.path, line, f"the key '{name}' stands twice in the same mapping.")
        own.add(name)
        document.lines[(*key, name)] = line
        values[name] = _value(value_node, (*key, name), document, yaml)
    return values
