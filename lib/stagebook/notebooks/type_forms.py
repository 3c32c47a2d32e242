"""Annotations as types, built from their syntax without evaluating anything; and values in the containers they name."""

import ast
import types
from collections.abc import Mapping
from typing import Any, Literal, Optional, Union, get_args, get_origin

_NAMES: dict[str, Any] = {
    "int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "tuple": tuple, "set": set,
    "None": type(None), "List": list, "Dict": dict, "Tuple": tuple, "Set": set, "Any": Any, "object": Any,
}  # fmt: skip
_GENERICS: dict[str, Any] = {
    "list": list, "List": list, "dict": dict, "Dict": dict, "tuple": tuple, "Tuple": tuple, "set": set, "Set": set,
    "Literal": Literal, "Optional": Optional, "Union": Union,
}  # fmt: skip


class _UnsupportedAnnotation(Exception):
    """An annotation names a type that is not built here."""


def type_of(annotation: ast.expr) -> Any:
    """The type that an annotation names; None if it names something other than the types above."""
    try:
        return _build(annotation)
    except (_UnsupportedAnnotation, SyntaxError, TypeError, ValueError):
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
            arguments = [_argument(part) for part in parts]
            return _GENERICS[name][tuple(arguments) if len(arguments) > 1 else arguments[0]]
    raise _UnsupportedAnnotation


def _argument(node: ast.expr) -> Any:
    """An argument of a generic type: a type, or the `...` of `tuple[int, ...]`."""
    return ... if isinstance(node, ast.Constant) and node.value is ... else _build(node)


def is_text(form: Any) -> bool:
    """Whether all values of a type are texts, or None: `str`, `str | None`, `Literal["a", "b"]`."""
    return any(kind is str for kind in _kinds(form)) and _kinds(form) <= {str, type(None)}


def _kinds(form: Any) -> set[Any]:
    if get_origin(form) is Literal:
        return {type(value) for value in get_args(form)}
    if _is_union(form):
        return set[Any]().union(*map(_kinds, get_args(form)))
    return {form}


def in_containers(value: Any, form: Any) -> Any:
    """The value with tuples and sets for lists where a type asks for them, at any depth; YAML and JSON have lists."""
    origin, arguments = get_origin(form) or form, get_args(form)
    match value:
        case list() if _is_union(form):
            kinds = [get_origin(branch) or branch for branch in arguments]
            branch = next((kind for kind in (list, tuple, set) if kind in kinds), None)
            return value if branch is None else in_containers(value, arguments[kinds.index(branch)])
        case list() if origin is tuple:
            is_open = len(arguments) == 2 and arguments[1] is ...
            forms = [arguments[0]] * len(value) if is_open else [*arguments, *[Any] * len(value)]
            return tuple(in_containers(item, item_form) for item, item_form in zip(value, forms, strict=False))
        case list() if origin is set:
            items = [in_containers(item, arguments[0] if arguments else Any) for item in value]
            return set(items) if all(_is_hashable(item) for item in items) else value
        case list() if origin is list and arguments:
            return [in_containers(item, arguments[0]) for item in value]
        case Mapping() if origin is dict and len(arguments) == 2:
            return {name: in_containers(item, arguments[1]) for name, item in value.items()}
    return value


def _is_union(form: Any) -> bool:
    return get_origin(form) in (Union, types.UnionType)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
