"""What GptModels share that draw one code a step: state in static tensors with a row for each slot."""

import numpy as np
import torch
from torch import Tensor

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import GptRequest
from deployments.engine.decode.kv_cache import KVCache
from deployments.engine.decode.sampling import SamplingState


class SlotModel:
    """Base of a GptModel. code: int64 (slots + 1,), the code that each slot feeds next."""

    cache: KVCache
    sampling: SamplingState
    code: Tensor

    def __init__(self, device: Device, slots: int, context: int, max_codes: int) -> None:
        self.slots, self.context, self.max_codes = slots, context, max_codes
        self.device, self.dtype = device.torch_device, device.dtype

    def per_slot(self, value: float, dtype: torch.dtype = torch.int64, *shape: int) -> Tensor:
        """(slots + 1, *shape), the scratch slot included."""
        return torch.full((self.slots + 1, *shape), value, dtype=dtype, device=self.device)

    def moved(self, array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, dtype)

    def token_ids(self, request: GptRequest, most: int, unit: str) -> Tensor:
        """int64 (T,). Raises InvalidInput for more than `most`."""
        ids = request.segment.token_ids
        if len(ids) > most:
            raise InvalidInput(f"a segment of {len(ids)} {unit} is too long: at most {most}", param="input")
        return self.moved(ids, torch.int64)

    def force(self, slot: int, code: np.ndarray) -> None:
        self.code[slot] = int(code)
        self.sampling.force(slot, int(code))

    def wipe(self, slot: int) -> None:
        self.cache.wipe(slot)
