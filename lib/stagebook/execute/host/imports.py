"""What a host imports, and how it knows that it has done nothing else. Part of the host: the standard library only."""

import importlib
import importlib.util
import os
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Imports:
    """What has been imported, what is still to be, and what the process looked like after the last import."""

    todo: list[str]
    done: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    spoilt: str | None = None
    threads: int = 0
    modules: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
        self._roots = tuple(str(Path(folder).resolve()) + os.sep for folder in folders)

    def want(self, modules: list[str]) -> None:
        """Add what is not yet known to what is to be imported."""
        self.todo += [name for name in dict.fromkeys(modules) if name not in {*self.todo, *self.done, *self.skipped}]

    def step(self) -> None:
        """Import one module; one that is not an installed package is passed over."""
        name, before, started = self.todo.pop(0), set(sys.modules), time.monotonic()
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
            if spec is None or not self._installed(spec.origin):
                self.skipped[name] = "not an installed package"
            else:
                importlib.import_module(name)
                self.done[name] = round(time.monotonic() - started, 3)
        except Exception as error:
            self.skipped[name] = f"{type(error).__name__}: {error}"
        self.look(before)

    def look(self, before: set[str]) -> None:
        """Note what an import left; a module from elsewhere, or a thread of Python's, spoils the host for good."""
        new = {name: sys.modules[name] for name in set(sys.modules) - before}
        new = {name: module for name, module in new.items() if module is not sys.modules["__main__"]}
        strange = [name for name, module in new.items() if not self._installed(getattr(module, "__file__", None))]
        if strange:
            self.spoilt = f"{strange[0]} was imported from outside the installed packages"
        if threading.active_count() > 1:
            self.spoilt = f"a thread was started by an import: {threading.enumerate()[-1].name}"
        self.modules = set(sys.modules)
        self.threads = _threads()

    def refusal(self) -> str | None:
        """Why this process may not be forked; None if it may."""
        if more := set(sys.modules) - self.modules:
            self.spoilt = f"{min(more)} was imported by something that was executed in it"
        if _threads() > self.threads:
            self.spoilt = "a thread was started by something that was executed in it"
        self.threads = min(self.threads, _threads())  # libraries end their threads before a fork
        return self.spoilt

    def _installed(self, file: str | None) -> bool:
        return file in (None, "built-in", "frozen") or str(Path(str(file)).resolve()).startswith(self._roots)


def _threads() -> int:
    """Threads of this process, those of native code too."""
    return len(list(Path("/proc/self/task").iterdir()))
