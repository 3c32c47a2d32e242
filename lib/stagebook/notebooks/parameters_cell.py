"""The statements of a parameters cell: what it declares, and what it computes before parameters are set.

Papermill sets parameters in a cell of its own below this one. What this cell computes from a parameter keeps the value
that came from the default.
"""

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stagebook.notebooks.cells import without_magics
from stagebook.notebooks.ipython import to_tree

_SHOWS = ("print", "display")


@dataclass(frozen=True)
class Assignment:
    """A name that the cell assigns. `value` is None where it is annotated only, or not one expression's value.

    `is_conditional` says that it stands below an `if`, a loop or the like. `last_line` counts within the cell.
    """

    name: str
    annotation: ast.expr | None
    value: ast.expr | None
    last_line: int
    is_conditional: bool = False


@dataclass(frozen=True)
class Computation:
    """A statement that reads names which the cell assigned before, directly or through others.

    `line` counts within the cell. `names` are those that it assigns or changes (none: it has another effect), `sources`
    those that it reads.
    """

    line: int
    names: tuple[str, ...]
    sources: frozenset[str]


class NotPython(Exception):
    """The cell is not Python, nor what IPython makes Python of. `line` counts within the cell."""

    def __init__(self, reason: str, line: int | None) -> None:
        super().__init__(reason, line)
        self.reason, self.line = reason, line


def parse(source: str) -> ast.Module:
    """The cell's syntax tree, without its magics.

    Raises:
        NotPython: with the line, if Python names one.
    """
    problem = ("IPython cannot read it", None)
    for text in (source, without_magics(source)):
        try:
            return ast.parse(text)
        except SyntaxError as error:
            problem = (error.msg, error.lineno)
        except ValueError as error:
            problem = (str(error), None)
    tree = to_tree(source)
    if tree is None:
        raise NotPython(*problem)
    return tree


def assignments(tree: ast.Module) -> Iterator[Assignment]:
    """What the cell assigns, in order."""
    return _assignments(tree.body, is_conditional=False)


def _assignments(body: list[ast.stmt], *, is_conditional: bool) -> Iterator[Assignment]:
    for statement in body:
        line = statement.end_lineno or statement.lineno
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                yield Assignment(name, annotation, value, line, is_conditional)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name, own_value in _unpacked(target, value):
                        yield Assignment(name, None, own_value, line, is_conditional)
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                for block in _blocks(statement):
                    yield from _assignments(block, is_conditional=True)


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for handler in getattr(statement, "handlers", []):
        yield handler.body


def _unpacked(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    """The names of a target with their own part of the value: `a, b = 1, 2` gives a and 1, b and 2."""
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Starred(value=ast.Name(id=name)):
            yield name, None
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            parts = getattr(value, "elts", []) if isinstance(value, ast.Tuple | ast.List) else []
            fits = len(parts) == len(targets) and not any(isinstance(item, ast.Starred) for item in [*targets, *parts])
            for position, inner in enumerate(targets):
                yield from _unpacked(inner, parts[position] if fits else None)


def computations(tree: ast.Module) -> list[Computation]:
    """The statements whose effect depends on what the cell assigned before."""
    sources_of: dict[str, frozenset[str]] = {}
    functions: dict[str, frozenset[str]] = {}
    results = []
    for statement in tree.body:
        if _is_harmless(statement):
            continue
        function = _function(statement, functions)
        functions |= function
        is_called_later = bool(function) and isinstance(statement, ast.Assign)
        reads = () if is_called_later else tuple(_reads(statement))
        sources = _sources(reads, sources_of, functions)
        names = tuple(dict.fromkeys(_changed(statement)))
        if isinstance(statement, ast.AugAssign):
            sources |= frozenset(names) & sources_of.keys()
        if sources:
            results.append(Computation(statement.lineno, names, sources))
        sources_of |= {name: sources for name in names if name not in functions}
    return results


def _is_harmless(statement: ast.stmt) -> bool:
    """Whether a statement has no effect on what follows: an import, or a value that is only shown."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant() | ast.Name() | ast.Attribute()):
            return True
    return False


def _function(statement: ast.stmt, functions: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """The function that a statement defines, if it does, with the names that its body reads when it is called."""
    match statement:
        case ast.FunctionDef(name=name, args=arguments, body=body):
            return {name: frozenset(_reads_when_called(arguments, body))}
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda(args=arguments, body=body)):
            return {name: frozenset(_reads_when_called(arguments, [body]))}
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=other)) if other in functions:
            return {name: functions[other]}
    return {}


def _sources(
    reads: Collection[str], sources_of: Mapping[str, frozenset[str]], functions: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """What the cell assigned before among the names, and among what the functions of these names read."""
    pending, seen, sources = list(reads), set[str](), set[str]()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += functions.get(name, ())
            if name in sources_of:
                sources |= {name, *sources_of[name]}
    return frozenset(sources)


def _changed(node: ast.AST) -> Iterator[str]:
    """The names that a statement assigns, or whose values it changes in part: `config["day"] = …`."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()):
            base = node
            while isinstance(base, ast.Subscript | ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name):
                yield base.id
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _changed(child)


def _reads(node: ast.AST, bound: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names that are read where a statement runs; not those in a function's body, and not what is only printed.

    Args: bound: names of an inner scope.
    """
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            if name not in bound:
                yield name
        case ast.Call(func=ast.Name(id=function)) if function in _SHOWS:
            return
        case ast.FunctionDef(args=arguments, decorator_list=decorators):
            for part in (*decorators, *arguments.defaults, *filter(None, arguments.kw_defaults)):
                yield from _reads(part, bound)
        case ast.Lambda(args=arguments, body=body):
            yield from _reads(body, bound | _argument_names(arguments))
        case (
            ast.ListComp(generators=generators)
            | ast.SetComp(generators=generators)
            | ast.GeneratorExp(generators=generators)
            | ast.DictComp(generators=generators)
        ):
            own = bound | {name for generator in generators for name in _changed_names(generator.target)}
            yield from _reads(generators[0].iter, bound)
            for child in ast.iter_child_nodes(node):
                yield from _reads(child, own)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _reads(child, bound)


def _reads_when_called(arguments: ast.arguments, body: Sequence[ast.AST]) -> Iterator[str]:
    own = _argument_names(arguments) | {name for part in body for name in _changed_names(part)}
    for part in body:
        yield from _reads(part, frozenset(own))


def _argument_names(arguments: ast.arguments) -> frozenset[str]:
    return frozenset(argument.arg for argument in ast.walk(arguments) if isinstance(argument, ast.arg))


def _changed_names(node: ast.AST) -> Iterator[str]:
    return (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store))
