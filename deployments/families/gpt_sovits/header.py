"""Reads the header of a torch file without torch: its config, and the names and shapes of its tensors.

The pickle is untrusted. Only a few classes are allowed in it, each of which stands for data here.
"""

import hashlib
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from deployments.contract.errors import CheckpointError

HASHED = 8192  # bytes from the start of a file, by which published files are known
MOST_PICKLE = 32 << 20  # bytes: a header of 700 tensors takes about 100 KB
MOST_ENTRIES = 10_000  # files in the archive
ZIP = b"PK"


class HParams:
    """Stands for `utils.HParams`, as which training pickles its config. Attributes are the config's keys."""

    def plain(self) -> dict[str, Any]:
        return {name: as_plain(value) for name, value in vars(self).items()}


def as_plain(config: Any) -> Any:
    """HParams, also nested ones, as dictionaries."""
    if isinstance(config, HParams):
        return config.plain()
    if isinstance(config, Mapping):
        return {name: as_plain(value) for name, value in config.items()}
    return config


@dataclass(frozen=True, slots=True)
class Header:
    """file: its name; mark: its first two bytes; digest: md5 of its first 8192 bytes; shapes: of each tensor."""

    file: str
    mark: bytes
    digest: str
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]
    lora_rank: int | None


def archive_of(path: Path) -> IO[bytes]:
    """The zip archive of a torch file. Some writers replace its first two bytes by a version, which is undone."""
    source = path.open("rb")
    if source.read(2) == ZIP:
        source.seek(0)
        return source
    with source:
        return io.BytesIO(ZIP + source.read())


def read_header(path: Path) -> Header:
    """Raises CheckpointError, which names the file and the fault."""
    name = path.name
    try:
        with path.open("rb") as source:
            start = source.read(HASHED)
        with archive_of(path) as source, zipfile.ZipFile(source) as archive:
            content = _unpickled(archive, name)
    except FileNotFoundError:
        raise CheckpointError(f"{name}: not found in the model folder") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{name}: refused: {error}") from None
    except CheckpointError:
        raise
    except Exception as error:  # a damaged archive or pickle can raise anything
        kind = type(error).__name__
        raise CheckpointError(f"{name}: cannot be read: truncated, or not a checkpoint ({kind})") from None
    weight, config = content.get("weight"), as_plain(content.get("config"))
    if not isinstance(weight, Mapping) or not isinstance(config, dict):
        raise CheckpointError(f"{name}: not a GPT-SoVITS file: it needs the keys 'weight' and 'config'")
    shapes = {str(key): value.shape for key, value in weight.items() if isinstance(value, _Tensor)}
    rank = content.get("lora_rank")
    rank = rank if isinstance(rank, int) else None
    return Header(
        name, start[:2], hashlib.md5(start, usedforsecurity=False).hexdigest(), config, shapes, rank
    )


class _Tensor:
    """Stands for a tensor."""

    def __init__(self, storage: Any, offset: int, size: tuple[int, ...], *_: Any) -> None:
        self.shape = tuple(int(length) for length in size)


class _Storage:
    """Stands for the types of storages."""


def _parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "utils.HParams": HParams,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}"
        if module == "torch" and name.endswith("Storage"):
            return _Storage
        if asked not in _ALLOWED:
            raise pickle.UnpicklingError(f"it contains {asked}, and only tensors and plain data are allowed")
        return _ALLOWED[asked]

    def persistent_load(self, pid: Any) -> None:
        """Of a storage, whose data is not read."""


def _unpickled(archive: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    entries = archive.infolist()
    found = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
    if len(entries) > MOST_ENTRIES or len(found) != 1 or found[0].file_size > MOST_PICKLE:
        raise CheckpointError(f"{name}: not a torch file")
    content = _Unpickler(io.BytesIO(archive.read(found[0]))).load()
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{name}: does not contain a dictionary")
    return content
