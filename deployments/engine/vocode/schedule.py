"""The sizes of a segment's chunks, by which the GPT sends runs and the caller cuts them."""

from dataclasses import dataclass
from typing import Literal, Self

from deployments.contract.errors import DoesNotFit
from deployments.contract.family import FamilySpec
from deployments.engine.vocode.chunks import Chunker, grown

FRAME_S = 0.01  # the unit of `vocoder_chunk_size`
WHOLE = 1 << 30  # codes: more than any segment has


@dataclass(frozen=True, slots=True)
class ChunkSchedule:
    """Codes of a segment's first chunk; later ones grow by `growth` up to `maximum`."""

    first: int = 10
    growth: float = 2.0
    maximum: int = 100

    @classmethod
    def of(
        cls, spec: FamilySpec, frames: int, first: int | Literal["whole"] = 10, growth: float = 2.0
    ) -> Self:
        """frames: of 10 ms, in the longest chunk; first: "whole" is as much as that.

        A family whose segments are vocoded whole has one chunk for each, and `first` and `growth` are ignored.
        Raises DoesNotFit ("first_chunk") if the first chunk is longer than the longest.
        """
        if spec.chunking == "whole":
            return cls(WHOLE, 1.0, WHOLE)
        maximum = cls.longest(spec, frames)
        codes = maximum if first == "whole" else first
        if codes > maximum:
            raise DoesNotFit(
                f"{codes} codes are more than the longest chunk takes: 1 to {maximum}, or whole"
                f" ({frames} frames of 10 ms are {maximum} codes of this family)",
                size="first_chunk",
            )
        return cls(codes, growth, maximum)

    @staticmethod
    def longest(spec: FamilySpec, frames: int) -> int:
        """Codes in this many frames of 10 ms, or in the longest segment if segments are vocoded whole."""
        if spec.chunking == "whole":
            return spec.max_tokens
        return max(1, round(frames * FRAME_S * spec.codes_per_second))

    def run_ends(self, spec: FamilySpec, most: int) -> list[int]:
        """The numbers of codes, up to `most`, that complete the first chunk with its context, the second, and so on."""
        ends, size = [self.first + spec.right_context], self.first
        while ends[-1] < most:
            size = grown(size, self.growth, self.maximum)
            ends.append(ends[-1] + size)
        return ends

    def chunker(self, spec: FamilySpec, speed: float = 1.0) -> Chunker:
        return Chunker(spec, self.first, self.growth, self.maximum, speed)
