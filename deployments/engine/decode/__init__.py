"""The GPT's half of the engine: sequences decode together in static slots."""

from deployments.engine.decode.decoder import Decoder

__all__ = ["Decoder"]
