"""The bytes of the tensors that a worker holds permanently: weights, keys and values, and the buffers of its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.invariant import Linear

KINDS: tuple[str, ...] = ("weights_bytes", "kv_cache_bytes", "buffer_bytes")
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type)


def held(worker: Any) -> dict[str, int]:
    """Bytes by kind, each storage counted once, of all tensors that can be reached from `worker`.

    weights: what the model's parts hold; kv_cache: all slots; buffers: the model's state per slot, and the inputs and
    outputs that graphs and copies keep. What torch itself keeps, such as a graph's pool, shows in its reserved bytes.
    """
    counted = dict.fromkeys(KINDS, 0)
    seen: set[int] = set()
    storages: set[tuple[str, int]] = set()
    left = [(worker, "buffer_bytes")]
    while left:
        thing, kind = left.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Tensor):
            counted[kind] += _new_bytes(thing, storages)
            continue
        if isinstance(thing, Linear) and thing.packed:  # torch cannot see into FBGEMM's matrices
            counted["weights_bytes"] += thing.bytes
        if isinstance(thing, KVCache):
            kind = "kv_cache_bytes"
        elif isinstance(thing, SamplingState):
            kind = "buffer_bytes"
        elif isinstance(thing, nn.Module):
            kind = "weights_bytes"
        model = hasattr(thing, "prefill") or hasattr(thing, "collate")
        for inner in _inside(thing):
            direct = isinstance(inner, (Tensor, tuple))
            left.append((inner, "weights_bytes" if model and not direct else kind))
    return counted


def _inside(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif type(thing).__module__.partition(".")[0] == "deployments" or isinstance(thing, nn.Module):
        yield from vars(thing).values() if hasattr(thing, "__dict__") else ()
        slots = (name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ()))
        yield from (getattr(thing, name) for name in slots if hasattr(thing, name))


def _new_bytes(tensor: Tensor, storages: set[tuple[str, int]]) -> int:
    try:
        storage = tensor.untyped_storage()
        key, size = (str(tensor.device), storage.data_ptr()), storage.nbytes()
    except (RuntimeError, NotImplementedError):  # packed by oneDNN, without a storage
        key, size = (str(tensor.device), id(tensor)), tensor.numel() * tensor.element_size()
    if key in storages:
        return 0
    storages.add(key)
    return size
