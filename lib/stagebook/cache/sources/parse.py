"""What Python source depends on: imports, files, scripts, environment variables, and what cannot be told.

Two sources with the same digest differ in comments, blank lines and formatting only.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stagebook.cache.sources import hidden_inputs
from stagebook.cache.sources.commands import CommandUse, arguments_use, command_use
from stagebook.cache.sources.magics import MagicUse, magic_use
from stagebook.cache.sources.names import Names
from stagebook.cache.sources.source import Import, Source, Unknown, UnknownKind, digest_of
from stagebook.dbutils.secrets import environment_variable
from stagebook.notebooks.ipython import to_tree

_FILE_NAME = re.compile(r"[^\n\0]{0,300}\.[A-Za-z0-9]{1,8}")
_PATH = re.compile(r"[^\s\0\"'<>|:;,()\[\]{}]{1,200}/[^\s\0\"'<>|:;,()\[\]{}]{0,200}")
_QUOTED = re.compile(r"'([^'\n]{1,300})'")
_SHELL_CALLS = frozenset(
    ("os.system", "os.popen", "subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
     "subprocess.Popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell",
     "asyncio.create_subprocess_exec")
)  # fmt: skip
_IMPORTERS = ("import_module", "__import__")
_IPYTHON_SHELL = ("system", "system_raw", "system_piped", "getoutput")


def parse(text: str) -> Source:
    """What a module contains; if it is not Python, its digest is that of the text, and it may import anything."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Source(digest_of(text), dynamic=True)
    return of_trees([tree])[0]


def parse_cell(text: str) -> Source:
    """What code in IPython's syntax contains."""
    tree = to_tree(text)
    return Source(digest_of(text), dynamic=True) if tree is None else of_trees([tree])[0]


def shell_source(text: str) -> Source:
    """What a shell script contains."""
    use = command_use(text)
    own = Source(
        digest_of(text),
        imports=tuple(Import(module) for module in use.modules),
        folders=tuple(use.words),
        programs=tuple(use.programs),
        environment=tuple(use.environment),
        unknown=tuple(use.unknown),
    )
    return Source.union(own.digest, [own, *(parse(code) for code in use.python)])


def of_trees(trees: Sequence[ast.AST], parameters: Iterable[str] = ()) -> list[Source]:
    """What syntax trees contain that share their names, such as the cells of a notebook with these parameters."""
    names = Names(trees, parameters)
    return [_Reader(names).read(tree) for tree in trees]


def file_names(value: Any) -> Iterator[str]:
    """The texts in a parameter's value that look like a file's name."""
    match value:
        case str() if _FILE_NAME.fullmatch(value) or _PATH.fullmatch(value):
            yield value
        case dict():
            for item in value.values():
                yield from file_names(item)
        case list() | tuple():
            for item in value:
                yield from file_names(item)


class _Reader(ast.NodeVisitor):
    """Collects what one syntax tree depends on."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._imports: list[Import] = []
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._scripts: set[str] = set()
        self._programs: set[str] = set()
        self._environment: set[str] = set()
        self._unknown: dict[Unknown, None] = {}
        self._inner: list[Source] = []
        self._dynamic = False

    def read(self, tree: ast.AST) -> Source:
        self.visit(tree)
        own = Source(
            digest_of(ast.dump(tree)),
            tuple(dict.fromkeys(self._imports)),
            tuple(self._files),
            self._dynamic,
            tuple(self._folders),
            tuple(self._scripts),
            tuple(self._programs),
            tuple(self._environment),
            tuple(self._unknown),
        )
        return Source.union(own.digest, [own, *self._inner])

    def _unclear(self, kind: UnknownKind, text: str) -> None:
        self._unknown[Unknown(kind, text)] = None

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add_import(Import(alias.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        self._add_import(Import(node.module or "", names, node.level))

    def _add_import(self, statement: Import) -> None:
        self._imports.append(statement)
        if statement.level:
            return
        modules = [statement.module, *(f"{statement.module}.{name}" for name in statement.names or ())]
        for module in modules:
            if module in hidden_inputs.NETWORK or module.partition(".")[0] in hidden_inputs.NETWORK:
                self._unclear(UnknownKind.OUTSIDE, f"imports `{module}`, which asks other machines")
                return

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (_FILE_NAME.fullmatch(node.value) or _PATH.fullmatch(node.value)):
            self._files.add(node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._add_pattern(node)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._add_pattern(node)
        self.generic_visit(node)

    def _add_pattern(self, node: ast.expr) -> None:
        """A name that is put together counts as all files that it may be, if it begins with something fixed."""
        text = self._names.text(node) or "*"
        if text[0] != "*" and (_FILE_NAME.fullmatch(text) or _PATH.fullmatch(text)):
            self._files.add(text)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._names.full_name(node.value) != "os.environ":
            self.generic_visit(node)
        elif isinstance(node.ctx, ast.Load):
            self._add_environment(node.slice)

    def visit_Compare(self, node: ast.Compare) -> None:
        match node:
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[container]) if (
                self._names.full_name(container) == "os.environ"
            ):
                self._add_environment(left)
            case _:
                self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._names.full_name(node) == "os.environ":
            self._unclear(UnknownKind.ENVIRONMENT, "uses all of `os.environ`")
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if self._names.imported.get(node.id) == "os.environ":
            self._unclear(UnknownKind.ENVIRONMENT, "uses all of `os.environ`")

    def _add_environment(self, name: ast.expr | None) -> None:
        text = self._names.text(name)
        if text is None or "*" in text or "\x01" in text:
            self._unclear(UnknownKind.ENVIRONMENT, "reads an environment variable whose name is computed")
        else:
            self._environment.add(text)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._names.full_name(node.func)
        first = node.args[0] if node.args else None
        self._add_pattern(node)
        match name:
            case "os.getenv" | "os.environ.get" | "os.getenvb":
                self._add_environment(first)
            case "os.environ.setdefault" | "os.environ.update" | "os.environ.pop" | "os.putenv" | "os.unsetenv":
                pass
            case "stagebook.stage.secret" | "dbutils.secrets.get":
                self._add_secret(node)
            case "eval" | "exec":
                self._run_code(first, name)
            case "runpy.run_path":
                self._run_script(first)
            case "get_ipython":
                pass
            case _ if name in _SHELL_CALLS:
                self._run_command(first, name)
            case _ if name.rpartition(".")[2] in _IMPORTERS:
                self._import_computed(first)
            case _ if _is_ipython(node.func):
                self._call_ipython(node)
            case _:
                self._read_hidden(node, name)
        if name.startswith("os.environ."):
            children: list[ast.AST] = [*node.args, *node.keywords]
        else:
            children = [node.func, *node.args, *node.keywords]
        for child in children:
            self.visit(child)

    def _add_secret(self, node: ast.Call) -> None:
        """A secret is an environment variable outside of Databricks."""
        arguments = [*node.args, *(item.value for item in node.keywords)]
        match [self._names.text(argument) for argument in arguments]:
            case [str(scope), str(key)] if "*" not in scope + key:
                self._environment.add(environment_variable(scope, key))
            case _:
                self._unclear(UnknownKind.ENVIRONMENT, "reads a secret whose name is computed")

    def _run_code(self, argument: ast.expr | None, name: str) -> None:
        text = self._names.text(argument)
        if text is None or "*" in text or "\x01" in text:
            self._unclear(UnknownKind.OUTSIDE, f"runs code by `{name}`")
        else:
            self._inner.append(parse_cell(text))

    def _run_script(self, argument: ast.expr | None) -> None:
        text = self._names.text(argument)
        if text is None or "*" in text:
            self._unclear(UnknownKind.FILES, "runs a script whose name is computed")
        else:
            self._scripts.add(text)

    def _import_computed(self, module: ast.expr | None) -> None:
        match module:
            case ast.Constant(value=str(name)) if name[:1] != ".":
                self._add_import(Import(name))
            case _:
                self._dynamic = True

    def _run_command(self, command: ast.expr | None, name: str) -> None:
        match command:
            case ast.List(elts=words) | ast.Tuple(elts=words):
                texts = [self._argument(word) for word in words]
                self._add_command(arguments_use([text if text is not None else "*" for text in texts]))
            case _:
                text = self._names.text(command)
                if text is None:
                    self._unclear(UnknownKind.FILES, f"runs a command by `{name}` that is computed")
                else:
                    self._add_command(command_use(text))

    def _argument(self, word: ast.expr) -> str | None:
        return "python" if self._names.full_name(word) == "sys.executable" else self._names.text(word)

    def _add_command(self, use: CommandUse) -> None:
        self._folders |= use.words
        self._programs |= use.programs
        self._environment |= use.environment
        self._unknown |= dict.fromkeys(use.unknown)
        self._imports += [Import(module) for module in use.modules]
        self._inner += [parse_cell(code) for code in use.python]

    def _call_ipython(self, node: ast.Call) -> None:
        """A call of `get_ipython().…`: magics and commands, as IPython's transformer writes them."""
        assert isinstance(node.func, ast.Attribute)
        method, arguments = node.func.attr, [self._names.text(argument) for argument in node.args]
        if method in _IPYTHON_SHELL:
            self._run_command(node.args[0] if node.args else None, "get_ipython().system")
        elif method in ("run_line_magic", "run_cell_magic") and None not in arguments and len(arguments) > 1:
            body = arguments[2] if method == "run_cell_magic" and len(arguments) > 2 else None
            self._add_magic(magic_use(arguments[0] or "", arguments[1] or "", body))
        elif method in ("magic", "run_line_magic", "run_cell_magic", "run_cell", "ex", "ev"):
            self._unclear(UnknownKind.OUTSIDE, f"runs code by `get_ipython().{method}`")

    def _add_magic(self, use: MagicUse) -> None:
        for command in use.commands:
            self._add_command(command)
        self._files |= set(use.files)
        self._scripts |= set(use.scripts)
        self._environment |= set(use.environment)
        self._imports += [Import(module) for module in use.modules if module]
        self._unknown |= dict.fromkeys(use.unknown)
        self._inner += [parse_cell(code) for code in use.python]

    def _read_hidden(self, node: ast.Call, name: str) -> None:
        """What a function reads that its call does not show: the time, files, other machines, the registry."""
        attribute = node.func.attr if isinstance(node.func, ast.Attribute) else name
        argument = _file_argument(node, attribute)
        text = self._names.text(argument)
        is_computed = (text is None or text.startswith("*")) and not self._names.is_in_memory(argument)
        if _asks_for_the_time(name, len(node.args) + len(node.keywords)):
            self._unclear(UnknownKind.OUTSIDE, f"asks for the time by `{name}`")
        elif name.startswith(hidden_inputs.MODEL_REGISTRY):
            self._unclear(UnknownKind.OUTSIDE, f"reads from MLflow by `{name}`")
        elif text is not None and text.startswith(hidden_inputs.REMOTE) and _takes_address(attribute):
            self._unclear(UnknownKind.OUTSIDE, f"reads `{text[:60]}`")
        elif name.partition(".")[0] in hidden_inputs.OPENS_FILES_ITSELF and _is_reader(attribute):
            if is_computed:
                self._unclear(UnknownKind.OPAQUE_FILES, f"reads by `{name}` a file whose name is computed")
            elif text is not None:
                self._folders |= {text, *_QUOTED.findall(text)}
        elif is_computed and _reads_files(name, attribute):
            self._unclear(UnknownKind.FILES, f"reads by `{attribute}` a file whose name is computed")


_FILE_ARGUMENTS = (
    "source",
    "path",
    "file",
    "filename",
    "where",
    "model_file",
    "uri",
    "url",
    "io",
    "filepath_or_buffer",
)


def _is_ipython(function: ast.expr) -> bool:
    match function:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython"))):
            return True
    return False


def _asks_for_the_time(name: str, arguments: int) -> bool:
    if name in hidden_inputs.CLOCK_WITHOUT_ARGUMENTS:
        return arguments == 0
    if name in hidden_inputs.CLOCK_WITH_ONE_ARGUMENT:
        return arguments == 1
    return name in hidden_inputs.CLOCK


def _file_argument(node: ast.Call, attribute: str) -> ast.expr | None:
    """The argument of a call that may name a file: the path itself where a method of it is called."""
    if attribute in hidden_inputs.PATH_METHODS and isinstance(node.func, ast.Attribute):
        return node.func.value
    by_name = (item.value for item in node.keywords if item.arg in _FILE_ARGUMENTS)
    return next(by_name, node.args[0] if node.args else None)


def _is_reader(attribute: str) -> bool:
    return attribute in hidden_inputs.READERS or attribute.startswith(hidden_inputs.READER_PREFIXES)


def _reads_files(name: str, attribute: str) -> bool:
    return (
        name in hidden_inputs.PYTHON_READERS
        or attribute in hidden_inputs.PATH_METHODS
        or attribute.startswith(hidden_inputs.READER_PREFIXES)
    )


def _takes_address(attribute: str) -> bool:
    """Whether a function that is given an address is likely to read from it, rather than to show it."""
    return _is_reader(attribute) or attribute in ("get", "fetch", "urlopen", "urlretrieve", "create_engine", "download")
