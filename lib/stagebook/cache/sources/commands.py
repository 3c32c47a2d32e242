"""What a shell command depends on: the files it names, the scripts it runs, the environment variables it expands.

A command is read word by word; programs that read nothing but what is named are listed here. What any other program
reads cannot be told.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from stagebook.cache.sources.source import Unknown, UnknownKind

_NAMED_FILES_ONLY = frozenset(
    (
        "awk", "basename", "cat", "cd", "chmod", "cmp", "column", "comm", "cp", "cut", "diff", "dirname", "du",
        "echo", "egrep", "exit", "export", "expr", "false", "file", "find", "fold", "gawk", "grep", "gunzip", "gzip",
        "head", "join", "ln", "ls", "md5sum", "mkdir", "mv", "nl", "od", "paste", "printf", "pwd", "realpath", "rm",
        "rmdir", "sed", "seq", "set", "sha1sum", "sha256sum", "shift", "sleep", "sort", "split", "stat", "strings",
        "tac", "tail", "tar", "tee", "test", "touch", "tr", "true", "uniq", "unset", "unzip", "wc", "xz", "zcat",
        "zip", ":", "[", "[[",
    )
)  # fmt: skip
_LIST_FOLDERS = frozenset(("du", "find", "ls"))
_SYNTAX = frozenset(
    (
        "if", "then", "else", "elif", "fi", "for", "in", "do", "done", "while", "until", "case", "esac", "{", "}",
        "!", "time",
    )
)  # fmt: skip
_SHELLS = frozenset(("bash", "sh", "zsh", "dash", "ksh"))
_PYTHON = re.compile(r"(?:.*/)?(?:python|pypy)[0-9.]*(?:\.exe)?")
_PUNCTUATION = frozenset(";|&<>()")
_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|([A-Za-z_]\w*))")
_EXPRESSION = re.compile(r"\{[^{},]+\}")
_COMPUTED = "\x03"
"""What stands for the output of a command within a command."""

_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)|`([^`]*)`")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass
class CommandUse:
    """What commands depend on. `python` is code that they run, `modules` are those that they run by `python -m`."""

    words: set[str] = field(default_factory=set)
    programs: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    python: list[str] = field(default_factory=list)
    environment: set[str] = field(default_factory=set)
    unknown: set[Unknown] = field(default_factory=set)

    def unclear(self, text: str) -> None:
        self.unknown.add(Unknown(UnknownKind.OPAQUE_FILES, text))


def command_use(text: str) -> CommandUse:
    """What the command lines of a shell depend on."""
    use = CommandUse()
    _add_lines(use, text)
    return use


def arguments_use(arguments: Sequence[str]) -> CommandUse:
    """What a program with these arguments depends on, started without a shell."""
    use = CommandUse()
    _add_command(use, list(arguments), set())
    return use


def _add_lines(use: CommandUse, text: str) -> None:
    for match in _SUBSTITUTION.finditer(text):
        _add_lines(use, match[1] or match[2] or "")
    flat, assigned = _SUBSTITUTION.sub(_COMPUTED, text), set[str]()
    try:
        lexer = shlex.shlex(flat.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=";|&<>()")
        lexer.whitespace_split = True
        tokens = list(lexer)
    except ValueError:
        use.unclear(f"runs the command `{_short(text)}`")
        return
    command: list[str] = []
    for token in [*tokens, ";"]:
        if set(token) <= _PUNCTUATION and token not in ("<", ">", ">>", "<<<", ">&", "<&"):
            _add_command(use, command, assigned)
            command = []
        elif not set(token) <= _PUNCTUATION:
            command.append(token)
    mentioned = {match[1] or match[2] for match in _VARIABLE.finditer(text)}
    use.environment |= mentioned - assigned


def _add_command(use: CommandUse, words: list[str], assigned: set[str]) -> None:
    while words and (words[0] in _SYNTAX or _ASSIGNMENT.fullmatch(words[0])):
        word = words.pop(0)
        if (match := _ASSIGNMENT.fullmatch(word)) and _COMPUTED not in match[2]:
            assigned.add(match[1])
            use.words.add(match[2])
        elif word == "for":  # for NAME in WORD …
            assigned.update(words[:1])
            use.words.update(words[2:])
            return
    if not words:
        return
    program, *arguments = words
    name = program.rpartition("/")[2]
    _add_words(use, arguments, assigned)
    if _EXPRESSION.search(program):
        use.unknown.add(Unknown(UnknownKind.FILES, f"runs the command `{_short(' '.join(words))}`"))
    elif _PYTHON.fullmatch(program):
        _add_python(use, arguments)
    elif name in _SHELLS:
        _add_shell(use, arguments)
    elif name in (".", "source") and arguments:
        use.programs.add(arguments[0])
    elif name == "export":
        assigned.update(match[1] for word in arguments if (match := _ASSIGNMENT.fullmatch(word)))
    elif "/" in program and not program.startswith("/"):
        use.programs.add(program)
    elif name in _LIST_FOLDERS and not any(word in use.words for word in arguments):
        use.unclear(f"lists a folder by `{_short(' '.join(words))}`")
    elif name not in _NAMED_FILES_ONLY:
        use.unclear(f"runs the command `{_short(' '.join(words))}`")


def _add_words(use: CommandUse, arguments: Sequence[str], assigned: set[str]) -> None:
    """Words that may be files or folders; of an option what follows its `=`."""
    for word in arguments:
        name = word.partition("=")[2] if word.startswith("-") else word
        variables = {match[1] or match[2] for match in _VARIABLE.finditer(name)}
        if variables - assigned or _EXPRESSION.search(name):
            use.unknown.add(Unknown(UnknownKind.FILES, f"names a file by `{_short(name)}` in a command"))
        elif _COMPUTED in name:
            use.unclear("names files by the output of a command")
        elif name and not variables and set(name) - set("./~*-"):
            use.words.add(name)


def _add_python(use: CommandUse, arguments: Sequence[str]) -> None:
    for place, word in enumerate(arguments):
        if word == "-c" and place + 1 < len(arguments):
            use.python.append(arguments[place + 1])
            return
        if word == "-m" and place + 1 < len(arguments):
            use.modules.add(arguments[place + 1])
            return
        if not word.startswith("-"):
            use.programs.add(word)
            return
    use.unclear("runs Python on what is piped to it")


def _add_shell(use: CommandUse, arguments: Sequence[str]) -> None:
    for place, word in enumerate(arguments):
        if word.startswith("-") and word.endswith("c") and place + 1 < len(arguments):
            _add_lines(use, arguments[place + 1])
            return
        if not word.startswith("-"):
            use.programs.add(word)
            return


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
