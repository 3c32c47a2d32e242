"""A cell's source as Python, as IPython makes it: magics, shell lines and help become calls."""

import ast


def to_tree(source: str) -> ast.Module | None:
    """The syntax tree of a cell; None if neither Python nor IPython can read it.

    IPython is asked, and imported, only for cells that are not plain Python.
    """
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        pass
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError):
        return None
