"""What IPython's magics depend on. A cell is read through IPython's own transformer, which makes them calls."""

import re
from dataclasses import dataclass, field

from stagebook.cache.sources.commands import CommandUse, command_use
from stagebook.cache.sources.source import Unknown, UnknownKind

_WITHOUT_EFFECT = frozenset(
    (
        "alias", "autoawait", "automagic", "autoreload", "colors", "config", "debug", "dhist", "doctest_mode", "gui",
        "hist", "history", "logoff", "logon", "logstart", "logstate", "logstop", "lsmagic", "macro", "matplotlib",
        "page", "pdb", "pdoc", "pfile", "pinfo", "pinfo2", "pprint", "precision", "psearch", "psource", "pwd",
        "pylab", "quickref", "recall", "rep", "rerun", "reset", "reset_selective", "tb", "unalias", "unload_ext",
        "who", "who_ls", "whos", "xdel", "xmode", "html", "HTML", "javascript", "js", "latex", "markdown", "svg",
        "SVG", "md", "md-sandbox",
    )
)  # fmt: skip
_OF_PYTHON = frozenset(("time", "timeit", "prun", "capture", "memit", "mprun", "lprun", "python", "python3", "pypy"))
_OF_SHELL = frozenset(("sx", "system", "sc", "!", "bash", "sh"))
_INSTALLERS = frozenset(("pip", "conda", "mamba", "micromamba", "uv"))
_OPTION = re.compile(r"-\w+")


@dataclass
class MagicUse:
    """What a magic depends on. `python` is code that it runs; `extensions` are modules that it loads."""

    python: list[str] = field(default_factory=list)
    commands: list[CommandUse] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


def magic_use(name: str, line: str, body: str | None = None) -> MagicUse:
    """What `%name line` depends on; `%%name line` with the `body` of its cell.

    Source: IPython.core.magics, 9.
    """
    use = MagicUse()
    if name in _OF_PYTHON:
        use.python.append(body if body is not None else _without_options(line))
    elif name in _OF_SHELL or (name == "script" and _is_shell(line)):
        use.commands.append(command_use(body if body is not None else line))
    elif name == "run":
        _add_run(use, line)
    elif name in ("load_ext", "reload_ext"):
        use.modules.append(line.strip())
    elif name in ("load", "loadpy", "writefile", "file"):
        use.files += [word for word in line.split() if not word.startswith("-")]
    elif name in ("env", "set_env"):
        _add_environment(use, line)
    elif name == "cd":
        use.unknown.append(Unknown(UnknownKind.OPAQUE_FILES, f"changes the folder by `%cd {line}`"))
    elif name in _INSTALLERS:
        use.unknown.append(Unknown(UnknownKind.OUTSIDE, f"installs packages by `%{name}`"))
    elif name == "store":
        use.unknown.append(Unknown(UnknownKind.OUTSIDE, "reads what other notebooks stored by `%store`"))
    elif name not in _WITHOUT_EFFECT:
        use.unknown.append(Unknown(UnknownKind.OUTSIDE, f"uses the magic `{'%' if body is None else '%%'}{name}`"))
    return use


def _without_options(line: str) -> str:
    """The Python code behind a magic's options, such as `-n 5 -r 3 f()`."""
    words = line.split()
    while words and _OPTION.fullmatch(words[0]):
        words = words[2:] if len(words) > 1 and words[1].isdigit() else words[1:]
    return " ".join(words)


def _is_shell(line: str) -> bool:
    return line.split()[:1] in (["bash"], ["sh"])


def _add_run(use: MagicUse, line: str) -> None:
    """`%run [options] file [arguments]`, or `%run -m module`."""
    words = line.split()
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "-m" and words:
            use.modules.append(words[0])
            return
    if not words or any(character in words[0] for character in "{}$*"):
        use.unknown.append(Unknown(UnknownKind.FILES, f"runs `%run {line}`"))
        return
    name = words[0].strip("'\"")
    use.scripts.append(name if name.endswith((".py", ".ipy", ".ipynb")) else f"{name}.py")
    use.files += words[1:]


def _add_environment(use: MagicUse, line: str) -> None:
    name = re.split(r"[\s=]", line.strip(), maxsplit=1)
    if len(name) > 1:
        return  # it sets the variable
    if name[0]:
        use.environment.append(name[0])
    else:
        use.unknown.append(Unknown(UnknownKind.ENVIRONMENT, "shows all environment variables"))
