"""`dbutils.fs` on the files of this machine: local paths, and `/Volumes/…` in a folder for volumes."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stagebook.dbutils.errors import UnsupportedPath


class FileInfo(NamedTuple):
    """One line of `dbutils.fs.ls`. `size` in bytes, `modificationTime` in milliseconds since 1970."""

    path: str
    name: str
    size: int
    modificationTime: int

    def isDir(self) -> bool:
        return self.name.endswith("/")

    def isFile(self) -> bool:
        return not self.isDir()


@dataclass(frozen=True)
class FileSystem:
    """`dbutils.fs`. `volumes` is the local folder for `/Volumes`; None: there are no volumes."""

    volumes: Path | None

    def ls(self, path: str) -> list[FileInfo]:
        """The entries of a folder, or the one file.

        Raises:
            FileNotFoundError: the path does not exist.
        """
        local_path = self._existing(path)
        if local_path.is_file():
            return [_info(path, local_path)]
        return [_info(f"{path.rstrip('/')}/{entry.name}", entry) for entry in sorted(local_path.iterdir())]

    def mkdirs(self, dir: str) -> bool:
        """Create a folder and its parents."""
        self._local(dir).mkdir(parents=True, exist_ok=True)
        return True

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text file.

        Raises:
            FileExistsError: the file exists, and `overwrite` is not set.
        """
        local_path = self._local(file)
        if local_path.exists() and not overwrite:
            raise FileExistsError(f"{file} already exists. Pass overwrite=True to replace it.")
        local_path.parent.mkdir(parents=True, exist_ok=True)
        local_path.write_text(contents, encoding="utf-8")
        return True

    def head(self, file: str, max_bytes: int = 65536) -> str:
        """The first bytes of a file as text.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        with self._existing(file).open("rb") as source:
            return source.read(max_bytes).decode("utf-8", errors="replace")

    def cp(self, source: str, dest: str, recurse: bool = False) -> bool:
        """Copy a file, or with `recurse` a folder; into the destination if that is a folder.

        Raises:
            FileNotFoundError: the source does not exist.
            IsADirectoryError: the source is a folder, and `recurse` is not set.
        """
        origin, target = self._existing(source), self._target(source, dest)
        if origin.is_dir():
            _require_recurse(source, recurse)
            shutil.copytree(origin, target, dirs_exist_ok=True)
        else:
            shutil.copy2(origin, target)
        return True

    def mv(self, source: str, dest: str, recurse: bool = False) -> bool:
        """Move a file, or with `recurse` a folder; errors as `cp`."""
        origin, target = self._existing(source), self._target(source, dest)
        if origin.is_dir():
            _require_recurse(source, recurse)
        shutil.move(origin, target)
        return True

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file, an empty folder, or with `recurse` any folder; False if the path does not exist."""
        local_path = self._local(dir)
        if not local_path.exists():
            return False
        if local_path.is_file():
            local_path.unlink()
        elif recurse:
            shutil.rmtree(local_path)
        elif any(local_path.iterdir()):
            _require_recurse(dir, recurse)
        else:
            local_path.rmdir()
        return True

    def _local(self, path: str) -> Path:
        """The path on this machine.

        Raises:
            UnsupportedPath: only a workspace has this path, or there are no volumes.
        """
        plain = path.removeprefix("dbfs:") if path.startswith("dbfs:/Volumes/") else path
        if plain.startswith("file:"):
            return Path("/" + plain.removeprefix("file:").lstrip("/"))
        if plain == "/Volumes" or plain.startswith("/Volumes/"):
            if self.volumes is None:
                raise UnsupportedPath.of(path, "there are no volumes: set STAGEBOOK_VOLUMES to a folder for them.")
            return self.volumes / plain.removeprefix("/Volumes").lstrip("/")
        if plain.startswith("/dbfs/") or ":/" in plain:
            raise UnsupportedPath.of(path, "this is storage of a workspace or of a cloud.")
        return Path(plain)

    def _existing(self, path: str) -> Path:
        local_path = self._local(path)
        if not local_path.exists():
            raise FileNotFoundError(f"No such file or directory: {path}")
        return local_path

    def _target(self, source: str, dest: str) -> Path:
        target = self._local(dest)
        if target.is_dir() or dest.endswith("/"):
            target = target / Path(source).name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _require_recurse(path: str, recurse: bool) -> None:
    if not recurse:
        raise IsADirectoryError(f"{path} is a folder. Pass recurse=True to include its content.")


def _info(path: str, local_path: Path) -> FileInfo:
    state, folder = local_path.stat(), local_path.is_dir()
    end = "/" if folder else ""
    return FileInfo(path + end, local_path.name + end, 0 if folder else state.st_size, int(state.st_mtime * 1000))
