"""Writes mappings as YAML that YAML 1.1 and 1.2 read alike; equal mappings give equal text."""

import io
import re
from collections.abc import Mapping
from typing import Any

_AMBIGUOUS = re.compile(r"[-+.\d]|(y|n|yes|no|on|off|true|false|null|~)$|=$", re.IGNORECASE)


def dump(value: Mapping[str, Any], comment: str = "") -> str:
    """The value as block-style YAML below a comment; keys stay in their order.

    Args:
        comment: lines without `#`.
    """
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_quoted(value), stream)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + stream.getvalue()


def _quoted(value: Any) -> Any:
    """The value with quotes around each text that some reader would take for a number, a boolean or null."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and _AMBIGUOUS.match(value) else value
