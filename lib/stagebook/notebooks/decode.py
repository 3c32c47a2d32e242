"""From a notebook file's bytes to its text: byte-order marks, encodings and line ends as editors leave them."""

import codecs
import json
import re
from typing import Self

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CODING = r"\A(?:[ \t\f]*(?:#[^\r\n]*)?(?:\r\n|\r|\n))?[ \t\f]*#[^\r\n]*?coding[:=][ \t]*(?P<name>[-\w.]+)"
"""The line that names a Python file's encoding (PEP 263): the first, or the second below a comment."""


class Undecodable(Exception):
    """A file is not text in the encoding that it has or names; the message says where."""

    @classmethod
    def at(cls, data: bytes, error: UnicodeDecodeError, encoding: str, remedy: str) -> Self:
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        place = f"byte {error.start:,} (0x{data[error.start]:02x}, in line {line})"
        return cls(f"this is not {encoding} text: {error.reason} at {place}. {remedy}")


def decoded(data: bytes, *, is_json: bool) -> str:
    """The text of a notebook file, with `\\\\n` at the end of each line and without a byte-order mark.

    A text notebook may name its encoding as Python files do; that line says `utf-8` in the text. JSON is in one of
    Unicode's encodings.

    Raises:
        Undecodable: with the line, and what to do.
    """
    mark = next((encoding for bytes_, encoding in _MARKS if data.startswith(bytes_)), None)
    if is_json:
        text = _decode(data, mark or json.detect_encoding(data), "Save the notebook as UTF-8.")
    else:
        text = _decode_text(data, mark)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode_text(data: bytes, mark: str | None) -> str:
    coding = re.match(_CODING.encode(), data.removeprefix(codecs.BOM_UTF8))
    if coding is None or mark not in (None, "utf-8-sig"):
        remedy = "Save the file as UTF-8, or name its encoding in the first line: # -*- coding: latin-1 -*-"
        return _decode(data, mark or "utf-8", remedy)
    name = coding["name"].decode("ascii", "replace")
    try:
        is_utf8 = codecs.lookup(name).name == "utf-8"
        text = _decode(data, mark or name, f"Its coding line names {name}: correct it, or save the file as UTF-8.")
    except (LookupError, ValueError):
        raise Undecodable(f"its coding line names '{name}', and there is no such encoding of text.") from None
    if mark and not is_utf8:
        raise Undecodable(f"it begins with the mark of UTF-8, and its coding line names {name}: correct that line.")
    line = re.match(_CODING, text)
    assert line is not None, "what encodes ASCII differently has a byte-order mark"
    return f"{text[: line.start('name')]}utf-8{text[line.end('name') :]}"


def _decode(data: bytes, encoding: str, remedy: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        shown = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32"}.get(encoding, encoding)
        raise Undecodable.at(data, error, shown, remedy) from None
