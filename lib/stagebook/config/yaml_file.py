"""One YAML file as plain values, with the line of each.

YAML 1.2's core schema over ruamel.yaml's parser: `no` is a string, `012` is 12, `1e-3` a number; `2024_11`, `12:30`
and dates are strings. Refused are aliases (a 300-byte alias bomb grows nine-fold a level), tags, duplicate keys,
numbers that no float holds, other versions of YAML, and files that are larger or deeper than any pipeline needs. Other
people's files may contain aliases and merge keys (`allow_aliases`); then the size that they grow to is limited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    ScalarEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.parser import Parser
from ruamel.yaml.reader import ReaderError

from stagebook.config.yaml_scalars import TooLargeNumber, core_value
from stagebook.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 50_000
"""More than any pipeline has; to read so many takes a second or two."""

_MERGE = "<<"

Key = tuple[str | int, ...]
"""The keys from the top of a document to a value: `("stages", "train", "max_retries")`."""


class InvalidYaml(ConfigError):
    """A file is not YAML of the kind that is accepted here."""

    @classmethod
    def at(cls, path: str, line: int, reason: str) -> Self:
        return cls(f"{path}:{line}: {reason}")


@dataclass
class Document:
    """A parsed mapping and the line (from 1) of every key in it; `anchored` are keys of values that have an anchor."""

    path: str
    values: dict[str, Any]
    lines: dict[Key, int] = field(default_factory=dict)
    anchored: set[Key] = field(default_factory=set)

    @property
    def anchor_containers(self) -> set[str]:
        """Names at the top whose values are, or hold, anchors: such a mapping may be there for its aliases alone."""
        return {str(key[0]) for key in self.anchored if key}


def read(path: Path, label: str, *, allow_aliases: bool = False) -> Document:
    """Parse a YAML or JSON file (JSON is YAML, except for its tabs); messages name it by its `label`.

    Raises:
        InvalidYaml: with the line and what to write instead.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidYaml.at(label, 1, f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read.")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidYaml.at(label, 1, f"the file cannot be read: {error.strerror}.") from None
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidYaml.at(label, line, f"this is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    return parse(text.replace("\t", " ") if path.suffix == ".json" else text, label, allow_aliases=allow_aliases)


def parse(text: str, label: str, *, allow_aliases: bool = False) -> Document:
    """Parse the text of a YAML file; an empty text is an empty mapping. Otherwise as `read`."""
    node = _compose(text, label, allow_aliases)
    document = Document(label, {}, {(): 1})
    if node is not None:
        if not isinstance(node, MappingNode):
            raise InvalidYaml.at(label, node.start_mark.line + 1, "the file must be a mapping of `key: value` lines.")
        document.values = _Builder(document, allow_aliases).value(node, ())
    return document


def parse_value(text: str) -> Any:
    """The YAML value of a flag or environment variable: `3` → 3, `[a, b]` → a list, `no` → "no".

    Raises:
        InvalidYaml: if the text is not one YAML value, or more than its value: a comment, an anchor.
    """
    node = _compose(text, "value")
    if node is None:
        if text.strip():
            raise InvalidYaml.at("value", 1, f"{text!r} is a comment in YAML.")
        return None
    if remainder := _remainder(node, text):
        raise InvalidYaml.at("value", 1, f"YAML takes {remainder!r} for no part of the value.")
    return _Builder(Document("value", {})).value(node, ())


def _remainder(node: Node, text: str) -> str:
    """What stands beside the value of a text: a comment, an anchor, marks of a document."""
    after = text[node.end_mark.index :].strip()
    before = text[: node.start_mark.index].strip().removeprefix("\ufeff")
    return f"{before} {after}".strip() or (f"&{node.anchor}" if node.anchor else "")


def _compose(text: str, label: str, allow_aliases: bool = False) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.Parser = lambda loader: _RestrictedParser(loader, label, allow_aliases)
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.problem, error.context) if part)
        raise InvalidYaml.at(label, mark.line + 1 if mark else 1, f"this is not YAML: {problem}.") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidYaml.at(label, line, f"this is not YAML: {error.reason}.") from None
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
            case DocumentStartEvent(version=(1, minor)) if minor != 2:
                raise self._refused(event, f"YAML 1.{minor} is asked for, and files are read as YAML 1.2.")
            case CollectionEndEvent():
                self._depth -= 1
            case CollectionStartEvent() | ScalarEvent():
                self._nodes += 1
                self._depth += isinstance(event, CollectionStartEvent)
                if event.tag is not None:
                    raise self._refused(event, f"the tag '{event.tag}' is refused: plain values only.")
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise self._refused(event, f"deeper than {MAX_DEPTH} levels or more than {MAX_NODES:,} values.")
        return event

    def _refused(self, event: Any, reason: str) -> InvalidYaml:
        return InvalidYaml.at(self._label, event.start_mark.line + 1 if event.start_mark else 1, reason)


class _Builder:
    """Builds the values of a document from its nodes, and notes their lines."""

    def __init__(self, document: Document, allow_aliases: bool = False) -> None:
        self._document, self._allow_aliases = document, allow_aliases

    def value(self, node: Node, key: Key) -> Any:
        """The value of a node.

        Raises:
            InvalidYaml: with the line.
        """
        lines = self._document.lines
        lines.setdefault(key, node.start_mark.line + 1)
        if node.anchor:
            self._document.anchored.add(key)
        if len(lines) > MAX_NODES or len(key) > MAX_DEPTH:
            raise self._refused(node, f"its aliases grow to more than {MAX_NODES:,} values.")
        match node:
            case MappingNode():
                return self._mapping(node, key)
            case SequenceNode():
                return [self.value(item, (*key, index)) for index, item in enumerate(node.value)]
            case ScalarNode() if not _is_text(node.value):
                reason = "this text holds NUL or half of a character, which no path and no text file can hold."
                raise self._refused(node, reason)
            case ScalarNode(style=None):
                return self._plain(node)
            case _:
                return node.value

    def _plain(self, node: ScalarNode) -> Any:
        try:
            return core_value(node.value)
        except TooLargeNumber as error:
            raise self._refused(node, f"{error}; text is put in quotes.") from None

    def _mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merges = [name for name, _ in node.value if _is_merge(name)]
        if len(merges) > 1:
            raise self._refused(merges[1], "'<<' occurs twice in the same mapping: write `<<: [*a, *b]`.")
        for base in self._merged(node):
            base_values = self.value(base, key)
            if not isinstance(base_values, dict):
                raise self._refused(base, "'<<' takes mappings only.")
            values |= base_values
        own_names: set[str] = set()
        for name_node, value_node in (pair for pair in node.value if not _is_merge(pair[0])):
            name = self.value(name_node, (*key, "?"))
            if not isinstance(name, str):
                raise self._refused(name_node, f"the key {name!r} is not text: put it in quotes.")
            if name in own_names:
                raise self._refused(name_node, f"the key '{name}' occurs twice in the same mapping.")
            own_names.add(name)
            self._document.lines[(*key, name)] = name_node.start_mark.line + 1
            values[name] = self.value(value_node, (*key, name))
        return values

    def _merged(self, node: MappingNode) -> Iterator[Node]:
        """The mappings that `<<` merges into a node, the one that wins last."""
        for name, value in node.value:
            if not _is_merge(name):
                continue
            if not self._allow_aliases:
                raise self._refused(name, "'<<' merges in YAML 1.1 only: write the values out, or use `extends`.")
            yield from reversed(value.value) if isinstance(value, SequenceNode) else (value,)

    def _refused(self, node: Node, reason: str) -> InvalidYaml:
        return InvalidYaml.at(self._document.path, node.start_mark.line + 1, reason)


def _is_merge(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.style is None and node.value == _MERGE


def _is_text(value: str) -> bool:
    """Whether the text has no NUL and no half of a surrogate pair, which escapes such as `\\0` and `\\ud800` give."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
