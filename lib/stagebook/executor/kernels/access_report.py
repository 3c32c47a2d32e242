"""Runs in the kernel: reports which files, folders, commands and machines the notebook's code asks for.

Python raises an audit event (PEP 578) before it opens a file, lists a folder, starts a program or connects a socket.
An event counts if the notebook's code or the project's has caused it, directly or through installed packages; not if
the kit has, which records by itself what it reads. What compiled code opens raises no event. Standard library only.
"""

# ruff: noqa: PTH100, PTH116, PTH208
# A `Path` for each event would cost more than the event.

import json
import os
import site
import stat
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

MOST_LINES = 50_000

_KERNEL_THREADS = ("Control", "Heartbeat", "IOPub", "IPythonHistorySavingThread")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_SYSTEM = ("/dev/", "/etc/", "/proc/", "/sys/", "/usr/lib/", "/usr/share/")


class AccessReport:
    """The report of one kernel: a JSON object a line.

    `{"read": path, "state": …}`, `{"code": path}` (imported), `{"write": path}`, `{"list": path, "names": […]}`,
    `{"command": text or words}`, `{"connect": "host:port"}`, `{"folder": path}` (changed to). A `state` is the file's
    size, times and number when it was opened; null where it was not there.

    Args:
        file: where lines are appended.
        root: the project's folder; temporary files count if they are in it.
        ignored: folders whose files do not count, such as that of the run.
    """

    def __init__(self, file: str, root: str, ignored: Sequence[str]) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._root = _as_prefix(root)
        self._packages = _package_folders()
        self._libraries = (*self._packages, *_python_folders())
        kit = _as_prefix(__file__.partition("/executor/")[0])
        self._ignored = (*map(_as_prefix, ignored), kit, *self._libraries, *_SYSTEM)
        self._temporary = _as_prefix(tempfile.gettempdir())
        self._noted: set[Any] = set()
        self._written: set[str] = set()
        self._hosts: dict[str, str] = {}
        self._state = threading.local()
        self._handlers: dict[str, Callable[..., None]] = {
            "open": self._open,
            "os.listdir": self._list,
            "os.scandir": self._list,
            "os.rename": self._rename,
            "os.chdir": self._change_folder,
            "sqlite3.connect": self._open_database,
            "subprocess.Popen": self._start_program,
            "os.system": self._run_command,
            "os.exec": self._execute,
            "os.posix_spawn": self._execute,
            "socket.getaddrinfo": self._resolve,
            "socket.connect": self._connect,
        }

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python calls for each audit event; it must never raise."""
        handler = self._handlers.get(event)
        if handler is None or getattr(self._state, "busy", False):
            return
        self._state.busy = True
        try:
            handler(*arguments)
        except Exception:
            pass  # an event that cannot be understood is none of the notebook's concern
        finally:
            self._state.busy = False

    def _open(self, path: Any, mode: Any, flags: Any) -> None:
        name = self._counted(path)
        if name is None:
            return
        writes = bool(flags & _WRITE_FLAGS) if mode is None else any(letter in mode for letter in "wax+")
        reads = not writes if mode is None else not any(letter in mode for letter in "wx") and mode[:1] != "a"
        if reads:
            caller = self._caller()
            if caller is None:
                return
            if caller.is_import and name.endswith((".py", ".pyc")):
                self._note("code", _source_of(name))
            elif name not in self._written:
                self._note("read", name, state=_state_of(name))
        if writes and self._caller() is not None:
            self._note_written(name)

    def _open_database(self, path: Any, *_: Any) -> None:
        name = self._counted(path)
        if name is not None and self._caller() is not None and name not in self._written:
            self._note("read", name, state=_state_of(name))

    def _rename(self, source: Any, target: Any, *_: Any) -> None:
        name = self._counted(target)
        if name is not None and self._caller() is not None:
            self._note_written(name)

    def _note_written(self, name: str) -> None:
        self._written.add(name)
        if not name.startswith(self._temporary) or name.startswith(self._root):
            self._note("write", name)

    def _list(self, path: Any = None) -> None:
        name = self._counted("." if path is None else path)
        if name is None:
            return
        caller = self._caller()
        if caller is not None and not caller.is_import:
            self._note("list", name, names=sorted(os.listdir(name)))

    def _change_folder(self, path: Any) -> None:
        if not isinstance(path, int) and self._caller() is not None:
            self._note("folder", os.path.abspath(os.fsdecode(path)))

    def _start_program(self, executable: Any, arguments: Any, *_: Any) -> None:
        self._note_command(arguments if arguments is not None else [executable])

    def _run_command(self, command: Any) -> None:
        self._note_command(command)

    def _execute(self, path: Any, arguments: Any, *_: Any) -> None:
        self._note_command(arguments)

    def _note_command(self, command: Any) -> None:
        """Commands of the notebook's own code or of IPython for it; those of libraries are their own concern."""
        caller = self._caller()
        if caller is None or caller.through_library:
            return
        if isinstance(command, str | bytes | os.PathLike):
            self._note("command", os.fsdecode(command))
        else:
            self._note("command", tuple(os.fsdecode(word) for word in command))

    def _resolve(self, host: Any, port: Any, *_: Any) -> None:
        if isinstance(host, str) and self._caller() is not None:
            self._note("connect", f"{host}:{port}")

    def _connect(self, _: Any, address: Any) -> None:
        if isinstance(address, tuple) and self._caller() is not None:
            self._note("connect", f"{address[0]}:{address[1]}")
        elif isinstance(address, str) and not address.startswith(self._temporary) and self._caller() is not None:
            self._note("connect", address)

    def _counted(self, path: Any) -> str | None:
        """The absolute path of a file that counts, wherever it is opened from; None of one that does not."""
        if isinstance(path, int) or path is None:
            return None
        name = os.path.abspath(os.fsdecode(path))
        return None if f"{name}/".startswith(self._ignored) else name

    def _caller(self) -> "_Caller | None":
        """Who has caused the event: the notebook's code, or code of the project; None if nobody of these."""
        is_import = through_library = False
        for frame in _frames(sys._getframe(2)):
            module, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
            if module == "mlflow" or module.startswith(("stagebook.", "mlflow.")):
                if module == __name__:
                    continue
                return None
            if file.startswith("<frozen importlib") or module.startswith(("importlib", "pkgutil")):
                is_import = True
            elif file.startswith(self._libraries):
                through_library |= file.startswith(self._packages) and not module.startswith("IPython")
            elif not file.startswith("<"):
                return _Caller(is_import, through_library)
        # No code of the notebook is at work: a thread that a library has started for it, or the kernel itself.
        of_kernel = threading.current_thread() is threading.main_thread() or _is_kernel_thread()
        return None if of_kernel else _Caller(is_import, through_library=True)

    def _note(self, kind: str, value: Any, **details: Any) -> None:
        key = (kind, value)
        if key in self._noted or len(self._noted) > MOST_LINES:
            return
        self._noted.add(key)
        line = {kind: value, **details} if len(self._noted) <= MOST_LINES else {"incomplete": True}
        os.write(self._descriptor, (json.dumps(line) + "\n").encode())


class _Caller:
    """Who has caused an event: through an `import` statement, through an installed package, or directly."""

    def __init__(self, is_import: bool, through_library: bool) -> None:
        self.is_import, self.through_library = is_import, through_library


def begin(file: str, root: str, ignored: Sequence[str]) -> None:
    """Report from now on, as long as the process lives."""
    sys.addaudithook(AccessReport(file, root, ignored).hook)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_kernel_thread() -> bool:
    """Whether the thread is one of the kernel's own; the frames of a notebook's threads are in ipykernel as well."""
    thread = threading.current_thread()
    return thread.name in _KERNEL_THREADS or type(thread).__module__.startswith(("ipykernel", "IPython"))


def _package_folders() -> tuple[str, ...]:
    folders = [*map(sysconfig.get_path, ("purelib", "platlib")), *site.getsitepackages(), site.getusersitepackages()]
    return tuple(dict.fromkeys(map(_as_prefix, folders)))


def _python_folders() -> tuple[str, ...]:
    folders = [*map(sysconfig.get_path, ("stdlib", "platstdlib")), sys.prefix, sys.base_prefix]
    return tuple(dict.fromkeys(map(_as_prefix, folders)))


def _as_prefix(folder: str) -> str:
    return os.path.abspath(folder).rstrip("/") + "/"


def _source_of(name: str) -> str:
    """The file of a module's source, where its compiled form is opened."""
    folder, _, file = name.rpartition("/")
    if file.endswith(".pyc") and folder.endswith("/__pycache__"):
        return f"{folder.removesuffix('/__pycache__')}/{file.partition('.')[0]}.py"
    return name


def _state_of(name: str) -> list[int] | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
