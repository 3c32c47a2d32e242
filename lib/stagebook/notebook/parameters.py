"""The `parameters` cell, read by Python's own parser: names, annotations, defaults, comments."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

from stagebook.errors import UnsafeInjection
from stagebook.notebook.cells import without_magics
from stagebook.notebook.outline import Outline
from stagebook.notebook.ways import ways


@dataclass(frozen=True)
class Parameter:
    """One assignment of the parameters cell; or a `widget` of a notebook of Databricks, whose values are texts.

    `annotation` is its source text; `type` the type that it names, or None where it has none or names
    something other than builtins, `Literal`, `Optional` and `Union`.
    """

    name: str
    annotation: str | None
    type: Any  # a type form, as typing spells them
    default: Any
    comment: str
    widget: bool = False


def declared(notebook: Outline) -> dict[str, Parameter] | None:
    """What the notebook declares, by name; None where it has no parameters cell or is not Python.

    One of Databricks declares its widgets too; None where it computes their names.

    Raises:
        SyntaxError: if the cell is not valid Python.
    """
    own = _of_cell(notebook)
    if not notebook.guest:
        return own
    widgets = ways(notebook).widgets
    if widgets is None:
        return None
    return {name: Parameter(name, None, None, value, "", widget=True) for name, value in widgets.items()} | (own or {})


def _of_cell(notebook: Outline) -> dict[str, Parameter] | None:
    cell = notebook.parameters_cell
    if cell is None or notebook.language != "python":
        return None
    source = without_magics(cell.source)
    comments = dict(_comments(source))
    found: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                text, kind = ast.unparse(annotation), _type_of(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                text, kind = None, None
            case _:
                continue
        comment = comments.get(statement.end_lineno or statement.lineno, "")
        found[name] = Parameter(name, text, kind, _literal(value), comment)
    return found


def typed(name: str, annotation: str | None) -> Parameter:
    """A parameter by its annotation's source text alone."""
    kind = None if annotation is None else _type_of(ast.parse(annotation, mode="eval").body)
    return Parameter(name, annotation, kind, None, "")


def check_injected(source: str) -> None:
    """Refuse an injected cell that is anything but `name = literal` lines.

    Papermill writes parameter names and some values into source unescaped; this is what stands between
    a parameter file and code execution.

    Raises:
        UnsafeInjection: naming the line.
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


class _Unknown(Exception):
    pass


def _type_of(annotation: ast.expr) -> Any:
    """The type that an annotation names, built from its syntax without evaluating anything."""
    try:
        return _build(annotation)
    except (_Unknown, SyntaxError, TypeError):
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
    raise _Unknown


def contradiction(parameter: Parameter, value: Any) -> str | None:
    """Why a value does not fit the parameter's annotation, or None where it fits or nothing is annotated."""
    if parameter.type is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter[Any](parameter.type).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        at = "".join(f"[{place!r}]" for place in first["loc"] if not isinstance(place, str) or place not in _BRANCHES)
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
        return f"{shown} is not {parameter.annotation}" + (f" (at {at}: {first['msg'].lower()})" if at else "")
    return None


_BRANCHES = {"int", "float", "str", "bool", "none", "list", "dict"}
"""Names that pydantic puts into an error's place for the branches of a union."""
