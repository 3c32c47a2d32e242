"""`dbutils.fs` over the files of this machine: local paths, and `/Volumes/…` in a folder of its own."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stagebook.standins.errors import PathRefused


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
class Files:
    """`dbutils.fs`. `volumes` is the folder that `/Volumes` stands for; None: there are no volumes here."""

    volumes: Path | None

    def ls(self, path: str) -> list[FileInfo]:
        """What a folder holds, or the one file.

        Raises:
            FileNotFoundError: there is nothing at this path.
        """
        place = self._there(path)
        if place.is_file():
            return [_info(path, place)]
        return [_info(f"{path.rstrip('/')}/{one.name}", one) for one in sorted(place.iterdir())]

    def mkdirs(self, dir: str) -> bool:
        """Make a folder and those above it."""
        self._place(dir).mkdir(parents=True, exist_ok=True)
        return True

    def put(self, file: str, contents: str, overwrite: bool = False) -> bool:
        """Write a text file.

        Raises:
            FileExistsError: it is there, and `overwrite` is not set.
        """
        place = self._place(file)
        if place.exists() and not overwrite:
            raise FileExistsError(f"{file} already exists. Pass overwrite=True to replace it.")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(contents, encoding="utf-8")
        return True

    def head(self, file: str, max_bytes: int = 65536) -> str:
        """The first bytes of a file as text.

        Raises:
            FileNotFoundError: there is no such file.
        """
        with self._there(file).open("rb") as source:
            return source.read(max_bytes).decode("utf-8", errors="replace")

    def cp(self, source: str, dest: str, recurse: bool = False) -> bool:
        """Copy a file, or with `recurse` a folder; into the destination where that is a folder.

        Raises:
            FileNotFoundError: there is nothing at the source.
            IsADirectoryError: the source is a folder, and `recurse` is not set.
        """
        origin, target = self._there(source), self._target(source, dest)
        if origin.is_dir():
            _only_with_recurse(source, recurse)
            shutil.copytree(origin, target, dirs_exist_ok=True)
        else:
            shutil.copy2(origin, target)
        return True

    def mv(self, source: str, dest: str, recurse: bool = False) -> bool:
        """Move a file, or with `recurse` a folder; errors as `cp`."""
        origin, target = self._there(source), self._target(source, dest)
        if origin.is_dir():
            _only_with_recurse(source, recurse)
        shutil.move(origin, target)
        return True

    def rm(self, dir: str, recurse: bool = False) -> bool:
        """Remove a file, an empty folder, or with `recurse` a folder with all in it; whether there was one."""
        place = self._place(dir)
        if not place.exists():
            return False
        if place.is_file():
            place.unlink()
        elif recurse:
            shutil.rmtree(place)
        elif any(place.iterdir()):
            _only_with_recurse(dir, recurse)
        else:
            place.rmdir()
        return True

    def _place(self, path: str) -> Path:
        """Where a path is on this machine."""
        plain = path.removeprefix("dbfs:") if path.startswith("dbfs:/Volumes/") else path
        if plain.startswith("file:"):
            return Path("/" + plain.removeprefix("file:").lstrip("/"))
        if plain == "/Volumes" or plain.startswith("/Volumes/"):
            if self.volumes is None:
                raise PathRefused.of(path, "there are no volumes here: set STAGEBOOK_VOLUMES to a folder for them.")
            return self.volumes / plain.removeprefix("/Volumes").lstrip("/")
        if plain.startswith("/dbfs/") or ":/" in plain:
            raise PathRefused.of(path, "this is storage of a workspace or of a cloud.")
        return Path(plain)

    def _there(self, path: str) -> Path:
        place = self._place(path)
        if not place.exists():
            raise FileNotFoundError(f"No such file or directory: {path}")
        return place

    def _target(self, source: str, dest: str) -> Path:
        target = self._place(dest)
        if target.is_dir() or dest.endswith("/"):
            target = target / Path(source).name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def _only_with_recurse(path: str, recurse: bool) -> None:
    if not recurse:
        raise IsADirectoryError(f"{path} is a folder. Pass recurse=True for it and all that is in it.")


def _info(path: str, place: Path) -> FileInfo:
    state, folder = place.stat(), place.is_dir()
    end = "/" if folder else ""
    return FileInfo(path + end, place.name + end, 0 if folder else state.st_size, int(state.st_mtime * 1000))
