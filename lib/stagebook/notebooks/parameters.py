"""A notebook's parameters: the `parameters` cell, read by Python's own parser, and values as Databricks' texts.

Databricks passes parameters as text. Text is passed as it is, so that a reference stays one; everything else is
passed as JSON.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stagebook.errors import UnsafeInjection
from stagebook.notebooks import parameters_cell, type_forms
from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.dbutils_usage import dbutils_usage
from stagebook.notebooks.outline import Outline
from stagebook.notebooks.parameters_cell import Assignment, Computation
from stagebook.notebooks.type_forms import in_containers


@dataclass(frozen=True)
class Parameter:
    """A name that the parameters cell assigns; or a widget of a Databricks notebook (`widget`), whose values are texts.

    `annotation` is its source text; `type` the type that it names, or None if there is no annotation or if it names
    something other than builtins, `Literal`, `Optional` and `Union`. `default` is the source text where it is
    `computed`. `conditional` says that the cell may leave it out.
    """

    name: str
    annotation: str | None
    type: Any  # a type form, as typing spells them
    default: Any
    comment: str
    widget: bool = False
    computed: bool = False
    conditional: bool = False

    @property
    def takes_text(self) -> bool:
        """Whether its values are texts, so that what somebody types is the value as it is."""
        if self.widget or self.type is None:
            return self.widget or (isinstance(self.default, str) and not self.computed)
        return type_forms.is_text(self.type)


def declared(notebook: Outline) -> dict[str, Parameter] | None:
    """The notebook's parameters by name; None if it has no parameters cell or is not Python.

    A Databricks notebook declares its widgets too; None if it computes their names.

    Raises:
        NotPython: if Python cannot read the cell.
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


def computed_in_cell(notebook: Outline) -> list[Computation]:
    """What the parameters cell computes from parameters, before they are set; nothing if it is not Python."""
    cell = notebook.parameters_cell
    if cell is None or notebook.language != "python":
        return []
    return parameters_cell.computations(parameters_cell.parse(cell.source))


def _of_cell(notebook: Outline) -> dict[str, Parameter] | None:
    cell = notebook.parameters_cell
    if cell is None or notebook.language != "python":
        return None
    comments = dict(_comments(without_magics(cell.source)))
    tree = parameters_cell.parse(cell.source)
    parameters: dict[str, Parameter] = {}
    for assignment in parameters_cell.assignments(tree):
        parameters[assignment.name] = _parameter(assignment, comments.get(assignment.last_line, ""), parameters)
    return parameters


def _parameter(assignment: Assignment, comment: str, before: Mapping[str, Parameter]) -> Parameter:
    name, annotation, value = assignment.name, assignment.annotation, assignment.value
    form = None if annotation is None else type_forms.type_of(annotation)
    text = None if annotation is None else ast.unparse(annotation)
    default, computed = (None, annotation is None) if value is None else _default(value)
    conditional = assignment.is_conditional and (name not in before or before[name].conditional)
    return Parameter(name, text, form, default, comment, computed=computed, conditional=conditional)


def _default(value: ast.expr) -> tuple[Any, bool]:
    """A literal's value; or its source text, and whether that is more than a text with parts filled in."""
    try:
        return ast.literal_eval(value), False
    except (ValueError, TypeError):
        return ast.unparse(value), not isinstance(value, ast.JoinedStr)


def typed(name: str, annotation: str | None) -> Parameter:
    """A parameter made from its annotation's source text, without default and comment."""
    form = None if annotation is None else type_forms.type_of(ast.parse(annotation, mode="eval").body)
    return Parameter(name, annotation, form, None, "")


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


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(_FiniteNumbers().visit(node))
    except (ValueError, TypeError):
        return False
    return True


class _FiniteNumbers(ast.NodeTransformer):
    """Puts numbers in place of `float('nan')` and the infinities, which Python has no literals for."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        is_number = ast.unparse(node) in ("float('nan')", "float('inf')", "float('-inf')")
        return ast.Constant(0.0) if is_number else node


def _comments(source: str) -> Iterator[tuple[int, str]]:
    import io
    import tokenize

    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string.lstrip("# ").strip()
    except tokenize.TokenError:
        return


def contradiction(parameter: Parameter, value: Any) -> str | None:
    """The reason why a value does not fit the parameter's annotation; None if it fits or there is no annotation."""
    if parameter.type is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter[Any](parameter.type).validate_python(in_containers(value, parameter.type), strict=True)
    except ValidationError as error:
        detail = error.errors()[0]
        at = "".join(f"[{step!r}]" for step in detail["loc"] if not isinstance(step, str) or step not in _BRANCHES)
        text = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
        return f"{text} is not {parameter.annotation}" + (f" (at {at}: {detail['msg'].lower()})" if at else "")
    return None


_BRANCHES = {"int", "float", "str", "bool", "none", "list", "dict"}
"""Names of a union's branches, which pydantic adds to an error's location."""


def as_declared(parameter: Parameter, value: Any) -> Any:
    """The value with lists as tuples and sets, where the parameter's annotation or its default is one."""
    default_kind = type(parameter.default) if isinstance(parameter.default, tuple | set) else None
    return in_containers(value, parameter.type or default_kind)


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
