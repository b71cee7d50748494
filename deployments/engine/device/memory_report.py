"""The bytes of the tensors that a worker holds permanently: weights, keys and values, and the buffers of its steps."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState
from deployments.engine.invariant import Linear


def held(worker: Any) -> dict[str, int]:
    """Bytes by kind, each storage counted once, of all tensors that can be reached from `worker`.

    weights: what the model's parts hold; kv_cache: all slots; buffers: the model's state per slot, and the inputs and
    outputs that graphs and copies keep. What torch itself keeps, such as a graph's pool, shows in its reserved bytes.
    """
    counted: dict[str, int] = dict.fromkeys(("weights_bytes", "kv_cache_bytes", "buffer_bytes"), 0)
    seen: set[object] = set()  # ids of objects, and devices with addresses of storages
    left: list[tuple[Any, str]] = [(worker, "buffer_bytes")]
    while left:
        thing, kind = left.pop()
        if isinstance(thing, Tensor) and thing.layout == torch.strided:
            storage = thing.untyped_storage()
            key, size = (thing.device, storage.data_ptr()), storage.nbytes()
        else:
            # a tensor in oneDNN's own layout has no storage that torch could see
            key, size = id(thing), thing.nbytes if isinstance(thing, Tensor) else 0
        if key in seen:
            continue
        seen.add(key)
        counted[kind] += size
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
            state = isinstance(inner, (Tensor, tuple))  # of a model's slots
            left.append((inner, "weights_bytes" if model and not state else kind))
    return counted


def _inside(thing: Any) -> Iterable[Any]:
    if isinstance(thing, Mapping):
        return thing.values()
    if isinstance(thing, (list, tuple, set, frozenset)):
        return thing
    if not (type(thing).__module__.startswith("deployments.") or isinstance(thing, nn.Module)):
        return ()
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in names)]
