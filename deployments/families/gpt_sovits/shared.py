"""Pretrained networks that several parts and models of one process use: one copy of the weights for the same files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar, cast
from weakref import WeakValueDictionary

from torch import nn

Net = TypeVar("Net", bound=nn.Module)
_networks: WeakValueDictionary[Hashable, nn.Module] = WeakValueDictionary()
_loading = threading.Lock()


def shared(load: Callable[[], Net], path: Path, *about: Hashable) -> Net:
    """`load()`, or what it returned to another caller for the same file or folder, as long as that one holds it.

    Files are the same if their paths, sizes and times of change are. about: what else decides, such as the device.
    Nobody may change the network. Raises what `load` raises.
    """
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.is_file())
    stats = [(file.resolve(), file.stat()) for file in files]
    key = (tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats), *about)
    with _loading:
        network = _networks.get(key)
        if network is None:
            network = _networks[key] = load()
        return cast(Net, network)
