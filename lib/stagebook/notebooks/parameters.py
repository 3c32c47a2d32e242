"""A notebook's parameters: the `parameters` cell, read by Python's own parser, and values as Databricks' texts.

Databricks passes parameters as text. Text is passed as it is, so that a reference stays one; everything else is
passed as JSON.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

from stagebook.errors import UnsafeInjection
from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.dbutils_usage import dbutils_usage
from stagebook.notebooks.outline import Outline


@dataclass(frozen=True)
class Parameter:
    """One assignment of the parameters cell; or a widget of a Databricks notebook (`widget`), whose values are texts.

    `annotation` is its source text; `type` the type that it names, or None if there is no annotation or if it names
    something other than builtins, `Literal`, `Optional` and `Union`.
    """

    name: str
    annotation: str | None
    type: Any  # a type form, as typing spells them
    default: Any
    comment: str
    widget: bool = False


def declared(notebook: Outline) -> dict[str, Parameter] | None:
    """The notebook's parameters by name; None if it has no parameters cell or is not Python.

    A Databricks notebook declares its widgets too; None if it computes their names.

    Raises:
        SyntaxError: if the cell is not valid Python.
    """
    in_cell = _of_cell(notebook)
    if not notebook.is_databricks:
        return in_cell
    widgets = dbutils_usage(notebook).widgets
    if widgets is None:
        return None
    return {name: Parameter(name, None, None, value, "", widget=True) for name, value in widgets.items()} | (
        in_cell or {}
    )


def _of_cell(notebook: Outline) -> dict[str, Parameter] | None:
    cell = notebook.parameters_cell
    if cell is None or notebook.language != "python":
        return None
    source = without_magics(cell.source)
    comments = dict(_comments(source))
    parameters: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                text, type_form = ast.unparse(annotation), _type_of(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                text, type_form = None, None
            case _:
                continue
        comment = comments.get(statement.end_lineno or statement.lineno, "")
        parameters[name] = Parameter(name, text, type_form, _literal(value), comment)
    return parameters


def typed(name: str, annotation: str | None) -> Parameter:
    """A parameter made from its annotation's source text, without default and comment."""
    type_form = None if annotation is None else _type_of(ast.parse(annotation, mode="eval").body)
    return Parameter(name, annotation, type_form, None, "")


def check_injected(source: str) -> None:
    """Refuse an injected cell with anything but `name = literal` lines.

    Papermill writes parameter names and some values into source unescaped; this check keeps a parameter file from
    executing code.

    Raises:
        UnsafeInjection: with the line.
    """
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name()], value=value) if _is_literal(value):
                continue
        raise UnsafeInjection(
            f"line {statement.lineno} of the injected cell is not a plain value: {ast.unparse(statement)}"
        )


_NOT_FINITE = re.compile(r"float\('(nan|inf|-inf)'\)")


def _is_literal(node: ast.expr) -> bool:
    if _NOT_FINITE.fullmatch(ast.unparse(node)):
        return True
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def _literal(node: ast.expr | None) -> Any:
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return ast.unparse(node)


def _comments(source: str) -> Iterator[tuple[int, str]]:
    import io
    import tokenize

    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ").strip()
    except tokenize.TokenError:
        return


_NAMES: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "None": type(None),
    "List": list, "Dict": dict, "Any": Any, "object": Any,
}  # fmt: skip
_GENERICS: dict[str, Any] = {
    "list": list, "List": list, "dict": dict, "Dict": dict, "Literal": Literal, "Optional": Optional, "Union": Union,
}  # fmt: skip


class _UnsupportedAnnotation(Exception):
    """An annotation names a type that is not built here."""


def _type_of(annotation: ast.expr) -> Any:
    """The type that an annotation names, built from its syntax without evaluating anything."""
    try:
        return _build(annotation)
    except (_UnsupportedAnnotation, SyntaxError, TypeError):
        return None


def _build(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None):
            return type(None)
        case ast.Constant(value=str(text)):
            return _build(ast.parse(text, mode="eval").body)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _NAMES:
            return _NAMES[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_build(left), _build(right)]  # noqa: UP007 - built at run time
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner) if name in _GENERICS:
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if name == "Literal":
                return Literal[tuple(ast.literal_eval(part) for part in parts)]
            return _GENERICS[name][tuple(_build(part) for part in parts) if len(parts) > 1 else _build(parts[0])]
    raise _UnsupportedAnnotation


def contradiction(parameter: Parameter, value: Any) -> str | None:
    """The reason why a value does not fit the parameter's annotation; None if it fits or there is no annotation."""
    if parameter.type is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter[Any](parameter.type).validate_python(value, strict=True)
    except ValidationError as error:
        detail = error.errors()[0]
        at = "".join(f"[{step!r}]" for step in detail["loc"] if not isinstance(step, str) or step not in _BRANCHES)
        text = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
        return f"{text} is not {parameter.annotation}" + (f" (at {at}: {detail['msg'].lower()})" if at else "")
    return None


_BRANCHES = {"int", "float", "str", "bool", "none", "list", "dict"}
"""Names of a union's branches, which pydantic adds to an error's location."""


def to_text(value: Any) -> str:
    """The text of a parameter's value: `13`, `true`, `[1, 2]`, `null`; text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def from_text(text: str, parameter: Parameter | None) -> Any | None:
    """The value that has this text and fits the parameter's annotation; None if there is none.

    Without an annotation the text itself is the value.
    """
    if parameter is not None and parameter.type is not None:
        for value in (text, _from_json(text)):
            if value is not None and contradiction(parameter, value) is None:
                return value
        return None
    return text


def _from_json(text: str) -> Any | None:
    try:
        return json.loads(text)
    except ValueError:
        return None
