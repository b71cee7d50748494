"""The steps of each vocoder layer that a chunk's sound needs, and their rows. Needs no torch.

The chunks of a batch follow each other as rows of one matrix, each no longer than the next layer needs. Steps that the
next chunk of a stream reads again are kept, so that only new ones are computed. TorchScript compiles `Span`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

# frames before and after the emitted ones that their sound depends on (see SmallConfig's contexts)
BEFORE, AFTER = 4, 5


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of codes in a chunk: left context, emitted, right context.

    ahead: the right context of the previous chunk if its kept steps are available, else None.
    """

    left: int
    count: int
    right: int
    ahead: int | None = None


class Span(NamedTuple):
    """Steps start..stop (exclusive) of one chunk; step 0 is the first emitted one, and `start` is at row `row`.

    kept: the number of steps at the start that the previous chunk has computed.
    """

    start: int
    stop: int
    row: int
    kept: int

    @property
    def size(self) -> int:
        return self.stop - self.start


Layer = list[Span]  # one for each chunk
Reach = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """code_reach, frame_reach: the steps before and after its own that each block's convolution sees. rate: frames per
    code.

    The layers, in order: the input of the code blocks, the output of each, then the same for the frame blocks.
    """

    code_reach: Reach
    frame_reach: Reach
    rate: int

    @property
    def upsampled(self) -> int:
        """The index of the first layer of frames."""
        return len(self.code_reach) + 1

    @property
    def layers(self) -> int:
        return self.upsampled + len(self.frame_reach) + 1

    def starts(self, left: int) -> list[int]:
        """The first step in each layer of a chunk with `left` codes before it, if nothing was kept."""
        frames = [max(-BEFORE, -left * self.rate)]
        for before, _ in reversed(self.frame_reach):
            frames.append(max(frames[-1] - before, -left * self.rate))
        codes = [frames[-1] // self.rate]
        frames[-1] = codes[0] * self.rate
        for before, _ in reversed(self.code_reach):
            codes.append(max(codes[-1] - before, -left))
        return [*reversed(codes), *reversed(frames)]

    def stops(self, count: int, right: int) -> list[int]:
        """The end of each layer for a chunk of `count` codes with `right` codes after it."""
        frames = [min(count * self.rate + AFTER, (count + right) * self.rate)]
        for _, after in reversed(self.frame_reach):
            frames.append(min(frames[-1] + after, (count + right) * self.rate))
        codes = [-(-frames[-1] // self.rate)]
        frames[-1] = codes[0] * self.rate
        for _, after in reversed(self.code_reach):
            codes.append(min(codes[-1] + after, count + right))
        return [*reversed(codes), *reversed(frames)]

    def kept(self, right: int, left: int) -> list[int]:
        """The number of steps at the end of each layer that a chunk with `right` codes after it keeps for the next one,
        which has `left` codes before it. No codes are kept, because the next chunk contains them."""
        made = self.stops(0, right)  # seen from the next chunk
        kept = [0] * self.layers
        for layer, (before, _) in enumerate(self.code_reach[1:], start=1):
            kept[layer] = made[layer] - max(made[layer + 1] - before, -left)
        for layer, (before, _) in enumerate(self.frame_reach, start=self.upsampled):
            kept[layer] = made[layer] - max(made[layer + 1] - before, -left * self.rate)
        kept[-1] = made[-1] - max(-BEFORE, -left * self.rate)
        return kept

    def spans(self, chunk: Extent) -> list[tuple[int, int, int]]:
        """The start, the stop and the number of kept steps of each layer."""
        stops, none = self.stops(chunk.count, chunk.right), [0] * self.layers
        if chunk.ahead is None:
            return list(zip(self.starts(chunk.left), stops, none, strict=True))
        made, kept = self.stops(0, chunk.ahead), self.kept(chunk.ahead, chunk.left)
        starts = [end - ready for end, ready in zip(made, kept, strict=True)]
        starts[0] = max(made[1] - self.code_reach[0][0], -chunk.left)
        return list(zip(starts, stops, kept, strict=True))


@dataclass(frozen=True, slots=True)
class Plan:
    """For each layer, the rows of all its steps (`have`), and the rows of the newly computed ones alone (`made`)."""

    have: list[Layer]
    made: list[Layer]

    @classmethod
    def of(cls, chunks: Sequence[Extent], trunk: TrunkShape) -> Self:
        layers = list(zip(*(trunk.spans(chunk) for chunk in chunks), strict=True))
        new = [[(start + kept, stop, 0) for start, stop, kept in layer] for layer in layers]
        return cls([_laid(layer) for layer in layers], [_laid(layer) for layer in new])


def _laid(steps: Iterable[tuple[int, int, int]]) -> Layer:
    layer, row = [], 0
    for start, stop, kept in steps:
        layer.append(Span(start, stop, row, kept))
        row += stop - start
    return layer
