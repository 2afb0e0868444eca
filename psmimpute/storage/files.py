"""Files below one folder of any file system: read, written all at once, checked."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs as pafs

from psmimpute.exceptions import CorruptFileError, StorageError

PathLike = str | os.PathLike[str]
_CHUNK = 2**22


def locate(path: PathLike, filesystem: object = None) -> tuple[pafs.FileSystem, str]:
    """Find the file system of a path.

    Parameters
    ----------
    path : str or path-like
        A path, or a URI such as ``s3://bucket/folder``.
    filesystem : object, optional
        Of pyarrow or fsspec; by default the one that the URI names, or the local one.

    Returns
    -------
    filesystem : pyarrow.fs.FileSystem
    path : str
        In it.

    Raises
    ------
    StorageError
        If nothing can be found for the URI.
    """
    text = os.fspath(path)
    if filesystem is not None:
        if isinstance(filesystem, pafs.FileSystem):
            return filesystem, text
        return pafs.PyFileSystem(pafs.FSSpecHandler(filesystem)), text
    if "://" not in text:
        return pafs.LocalFileSystem(), str(Path(text).absolute())
    try:
        found, inner = pafs.FileSystem.from_uri(text)
    except (pa.ArrowInvalid, OSError):
        try:
            import fsspec  # noqa: PLC0415 (only for schemes that pyarrow does not know)

            other, inner = fsspec.core.url_to_fs(text)
        except (ImportError, ValueError) as error:
            raise StorageError(f"cannot find {text}: {error}") from error
        return pafs.PyFileSystem(pafs.FSSpecHandler(other)), inner
    return found, inner


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn errors of Arrow and of the system into one that says what was being done.

    Parameters
    ----------
    doing : str
        Such as ``"read x.parquet"``.

    Raises
    ------
    StorageError
        For an ``OSError`` or an Arrow error inside.
    """
    try:
        yield
    except StorageError:
        raise
    except (OSError, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StorageError(f"cannot {doing}: {reason}") from error


@dataclass(frozen=True)
class Folder:
    """A folder.

    Attributes
    ----------
    filesystem : pyarrow.fs.FileSystem
    root : str
        Its path.
    """

    filesystem: pafs.FileSystem
    root: str

    @classmethod
    def at(cls, path: PathLike, filesystem: object = None) -> Folder:
        """Return the folder at a path or URI; it need not exist."""
        found, root = locate(path, filesystem)
        return cls(found, root.rstrip("/"))

    def path(self, name: str) -> str:
        """Return the path of a file of the folder."""
        return f"{self.root}/{name}"

    def exists(self, name: str) -> bool:
        """Tell whether there is a file or folder of that name."""
        info = self.filesystem.get_file_info(self.path(name))
        return bool(info.type != pafs.FileType.NotFound)

    def names(self, below: str = "") -> list[str]:
        """Return the names of all files, those in subfolders with their path, sorted."""
        base = self.path(below) if below else self.root
        selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        names = [info.path for info in found if info.type == pafs.FileType.File]
        start = len(self.root.lstrip("/")) + 1
        return sorted(name.lstrip("/")[start:] for name in names)

    def read(self, name: str, *, most_bytes: int) -> bytes:
        """Read a whole file of at most `most_bytes`."""
        with storage_errors(f"read {self.path(name)}"):
            size = self.filesystem.get_file_info(self.path(name)).size
            if size is not None and size > most_bytes:
                raise CorruptFileError(f"{self.path(name)} has {size} bytes, too many to believe")
            with self.filesystem.open_input_stream(self.path(name)) as file:
                return bytes(file.read())

    def write(self, name: str, data: bytes) -> None:
        """Write a file all at once."""
        part = f"_job/tmp/{uuid.uuid4().hex}"
        with storage_errors(f"write {self.path(name)}"):
            with self.create(part) as file:
                file.write(data)
            self.move(part, name)

    def create(self, name: str) -> Any:  # noqa: ANN401
        """Open a file for writing, and make its folders."""
        self.filesystem.create_dir(self.path(name).rpartition("/")[0], recursive=True)
        return self.filesystem.open_output_stream(self.path(name))

    def move(self, name: str, target: str) -> None:
        """Move a file to its place, over one that may be there."""
        self.filesystem.create_dir(self.path(target).rpartition("/")[0], recursive=True)
        self.filesystem.move(self.path(name), self.path(target))

    def delete(self, name: str) -> None:
        """Delete a file or a folder with all that it holds, if it is there."""
        info = self.filesystem.get_file_info(self.path(name))
        if info.type == pafs.FileType.Directory:
            self.filesystem.delete_dir(self.path(name))
        elif info.type == pafs.FileType.File:
            self.filesystem.delete_file(self.path(name))

    def digest(self, name: str) -> dict[str, Any]:
        """Return size and SHA-256 of a file.

        Returns
        -------
        dict
            ``bytes`` and ``sha256``.
        """
        found, size = hashlib.sha256(), 0
        with self.filesystem.open_input_stream(self.path(name)) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
                size += len(chunk)
        return {"bytes": size, "sha256": found.hexdigest()}

    def __str__(self) -> str:
        return self.root
