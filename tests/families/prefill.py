"""A prefill without a decoder."""

from deployments.contract.family import GptModel
from deployments.contract.speech import GptRequest


def prefill_at_once(model: GptModel, slot: int, request: GptRequest) -> int:
    """Returns the number of positions. Raises what the model raises."""
    pieces = model.prefill(slot, request)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
