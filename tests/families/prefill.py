"""A prefill without a decoder around it."""

from deployments.contract.family import GptModel
from deployments.contract.speech import GptRequest


def prefill_at_once(model: GptModel, slot: int, request: GptRequest) -> int:
    """Returns how many positions are taken. Raises what the model does."""
    pieces = model.prefill(slot, request)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
