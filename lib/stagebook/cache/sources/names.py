"""What names and expressions of Python source stand for: imported things, and texts assigned once."""

import ast
import re
from collections.abc import Iterable, Sequence

from stagebook.cache.sources.source import PARAMETER

_IN_MEMORY = frozenset(
    ("BufferReader", "BytesIO", "StringIO", "getvalue", "open", "py_buffer", "read_bytes", "read_text")
)
_FOLDERS = ("Path", "PurePath", "PosixPath", "join", "fspath", "str", "resolve", "absolute", "as_posix", "expanduser")


class Names:
    """What names stand for in some syntax trees: imported things by their full name, and texts assigned once."""

    def __init__(self, trees: Sequence[ast.AST], parameters: Iterable[str]) -> None:
        self.imported: dict[str, str] = {}
        self.parameters = frozenset(parameters)
        assigned: dict[str, list[ast.expr | None]] = {}
        for tree in trees:
            for node in ast.walk(tree):
                self._add(node, assigned)
        self._assigned = {name: values[0] for name, values in assigned.items() if len(values) == 1}

    def _add(self, node: ast.AST, assigned: dict[str, list[ast.expr | None]]) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    self.imported[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module=str(module), names=names, level=0):
                self.imported |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in names}
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                assigned.setdefault(name, []).append(value)
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                assigned.setdefault(name, [])
                if not isinstance(node, ast.Name):
                    assigned[name] += [None, None]
            case _:
                pass

    def full_name(self, node: ast.AST) -> str:
        """The name of what an expression refers to, such as `pandas.Timestamp.now`; empty if it is no name."""
        match node:
            case ast.Name(id=name):
                return self.imported.get(name, name)
            case ast.Attribute(value=value, attr=attribute):
                base = self.full_name(value)
                return f"{base}.{attribute}" if base else ""
        return ""

    def text(self, node: ast.AST | None, depth: int = 8) -> str | None:
        """The text of an expression, with `*` for what is computed; None if nothing of it is in the code."""
        if node is None or depth == 0:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=bool() | int() | float() as number):
                return str(number)
            case ast.Name(id=name) if name in self.parameters:
                return PARAMETER.format(name)
            case ast.Name(id=name):
                return self.text(self._assigned.get(name), depth - 1)
            case ast.JoinedStr(values=parts):
                return "".join(self.text(part, depth - 1) or "*" for part in parts)
            case ast.FormattedValue(value=value, format_spec=None):
                return self.text(value, depth - 1)
            case ast.BinOp(left=left, op=ast.Add() | ast.Div() as operator, right=right):
                return self._joined([left, right], "/" if isinstance(operator, ast.Div) else "", depth)
            case ast.BinOp(left=left, op=ast.Mod()):
                template = self.text(left, depth - 1)
                return None if template is None else re.sub(r"%[-+ #0-9.]*[a-zA-Z]", "*", template)
            case ast.Call(func=ast.Attribute(value=value, attr="format")):
                template = self.text(value, depth - 1)
                return None if template is None else re.sub(r"\{[^{}]*\}", "*", template)
            case ast.Call(func=function, args=arguments) if self.full_name(function).rpartition(".")[2] in _FOLDERS:
                if arguments:
                    return self._joined(arguments, "/", depth)
                return self.text(function.value, depth - 1) if isinstance(function, ast.Attribute) else None
        return None

    def is_in_memory(self, node: ast.AST | None) -> bool:
        """Whether an expression is no file's name: content that Python has read, or a word of the command line.

        What Python reads is reported, and the words of a command count already.
        """
        match node:
            case ast.Name(id=name) if (value := self._assigned.get(name)) is not None:
                return self.is_in_memory(value)
            case ast.Call(func=function):
                return self.full_name(function).rpartition(".")[2] in _IN_MEMORY or (
                    isinstance(function, ast.Attribute) and function.attr in _IN_MEMORY
                )
            case ast.Subscript(value=value):
                return self.full_name(value) == "sys.argv"
        return False

    def _joined(self, parts: Sequence[ast.AST], separator: str, depth: int) -> str | None:
        texts = [self.text(part, depth - 1) for part in parts]
        return None if not any(texts) else separator.join(text or "*" for text in texts)
