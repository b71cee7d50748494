"""A prefill without a decoder around it."""

from deployments.families.base import GptModel, GptRequest


def prefill_at_once(model: GptModel, slot: int, request: GptRequest) -> int:
    """Returns how many positions are taken. Raises what the model does."""
    pieces = model.prefill(slot, request)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value
