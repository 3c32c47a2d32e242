"""Parameter values as the texts that Databricks passes on, and back.

Text is passed as it is, so that a reference stays one; everything else is passed as JSON.
"""

import json
from typing import Any

from stagebook.notebook.parameters import Parameter, contradiction


def to_text(value: Any) -> str:
    """The text of a parameter's value: `13`, `true`, `[1, 2]`, `null`; a text is itself."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def from_text(text: str, parameter: Parameter | None) -> Any | None:
    """The value that stands for this text and fits the notebook's annotation; None where there is none.

    Without an annotation the text is taken as text.
    """
    if parameter is not None and parameter.type is not None:
        for value in (text, _json(text)):
            if value is not None and contradiction(parameter, value) is None:
                return value
        return None
    return text


def _json(text: str) -> Any | None:
    try:
        return json.loads(text)
    except ValueError:
        return None
