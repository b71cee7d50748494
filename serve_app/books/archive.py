"""Reads the files of an EPUB from memory. Nothing is written to disk, and every size is checked before it is used."""

from __future__ import annotations

import io
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import unquote

from deployments.contract.errors import printable
from serve_app.books.limits import BookLimits, refused

_END = struct.Struct("<4s4H2LH")  # the end of the central directory: its count is field 4, its size field 5
_COMMENT = 0xFFFF
_ZIP64 = b"PK\6\7"
_LARGE = 2**20  # bytes: smaller files may have any ratio
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError, struct.error)


class Archive:
    """The files of an EPUB by name, with "/" between folders."""

    def __init__(self, data: bytes, limits: BookLimits) -> None:
        """Raises InvalidInput if `data` is not a ZIP file, or one that exceeds the limits."""
        self._limits = limits
        self._left = limits.unpacked
        _check_directory(data, limits)
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGED:
            raise refused("the EPUB is damaged (not a readable ZIP file)") from None
        if len(self._file.infolist()) > limits.entries:
            raise refused(f"it contains more than {limits.entries} files")
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._file.infolist():
            if _leaves_its_folder(info.filename):
                raise refused(f"it names a file outside its folder ({printable(info.filename)!r})")
            self._infos[info.filename] = info
        self._folded = {name.casefold(): name for name in reversed(self._infos)}

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._infos)

    def find(self, name: str) -> str | None:
        """The file's exact name. Case is ignored if there is no exact match, as readers do."""
        return name if name in self._infos else self._folded.get(name.casefold())

    def size(self, name: str) -> int:
        """The size that the archive declares for a file that exists."""
        return self._infos[self.find(name) or name].file_size

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content of a file that exists. most: bytes; default: `BookLimits.document`.

        Raises InvalidInput if it is encrypted, damaged or too large.
        """
        info = self._infos[self.find(name) or name]
        shown, most = printable(name), self._limits.document if most is None else most
        if info.flag_bits & 1:
            raise refused(f"its file {shown!r} is encrypted; remove the password first", "encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise refused(f"its file {shown!r} uses a compression method that EPUB does not allow")
        if info.file_size > most:
            raise refused(f"its file {shown!r} has {info.file_size} bytes (allowed: up to {most})")
        if info.file_size > max(_LARGE, self._limits.ratio * info.compress_size):
            raise refused(f"its file {shown!r} is compressed more than {self._limits.ratio}-fold")
        if info.file_size > self._left:
            raise refused(f"its text unpacks to more than {self._limits.unpacked} bytes")
        try:
            with self._file.open(info) as file:
                data = file.read(info.file_size + 1)  # an upper bound, whatever the stream contains
        except _DAMAGED:
            raise refused(f"its file {shown!r} is damaged") from None
        self._left -= len(data)
        return data


def _check_directory(data: bytes, limits: BookLimits) -> None:
    """Bounds the work of `zipfile`, which reads the whole list of files when it opens an archive."""
    at = len(data) - _END.size
    if at < 0 or not data.startswith(b"PK\5\6", at):
        at = data.rfind(b"PK\5\6", max(0, at - _COMMENT))
    if at < 0 or len(data) < at + _END.size:
        raise refused("the EPUB is damaged (not a readable ZIP file)")
    size = _END.unpack_from(data, at)[5]
    if data.startswith(_ZIP64, max(0, at - 20)) or size > limits.directory:
        raise refused(f"its list of files is longer than {limits.directory} bytes")


def _leaves_its_folder(name: str) -> bool:
    return (
        name.startswith(("/", "\\"))
        or ":" in name.split("/")[0]
        or ".." in name.replace("\\", "/").split("/")
    )


def resolve(base: str, href: str) -> tuple[str, str] | None:
    """The name and fragment of `href` in the file `base`; None for another site or a place outside the book."""
    path, _, fragment = href.strip().partition("#")
    head = path.split("/")[0]
    if ":" in head or path.startswith("//"):
        return None
    path = unquote(path.partition("?")[0])
    name = posixpath.normpath(posixpath.join(posixpath.dirname(base), path)) if path else base
    if name.startswith(("/", "..")):
        return None
    return name, unquote(fragment)
