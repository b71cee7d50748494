"""Which steps of each layer the vocoder has to make for a chunk's sound, and where they lie. Needs no torch.

The chunks of a batch lie one behind the other, as rows of one matrix, each no longer than the next layer needs it. What
a chunk of a stream made of a layer, and the next one reads again, is kept: then only what is new is made.

Annotations are evaluated here: TorchScript takes spans, and does not resolve the postponed ones of named tuples.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

BEFORE, BEHIND = (
    4,
    5,
)  # frames around the emitted ones that their sound depends on (see SmallConfig's contexts)


@dataclass(frozen=True, slots=True)
class Extent:
    """Codes of a chunk: context on the left, emitted, context on the right.

    ahead: the context on the right of the chunk before, if what was kept of it is at hand; else None.
    """

    left: int
    count: int
    right: int
    ahead: int | None = None


class Span(NamedTuple):
    """Steps start..stop (exclusive) of one chunk, 0 being its first emitted one; `row`: where `start` lies.

    kept: how many of them, the first ones, the chunk before has made.
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


def rows(layer: Layer) -> int:
    return layer[-1].row + layer[-1].size


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """code_reach, frame_reach: of each block, steps before and after its own that its convolution sees; rate: frames of
    a code.

    The layers, in order: what enters the blocks of codes, what each of them leaves, and the same for those of frames.
    """

    code_reach: Reach
    frame_reach: Reach
    rate: int

    @property
    def upsampled(self) -> int:
        """The first layer of frames."""
        return len(self.code_reach) + 1

    @property
    def layers(self) -> int:
        return self.upsampled + len(self.frame_reach) + 1

    def starts(self, left: int) -> list[int]:
        """The first step of each layer that a chunk with `left` codes in front of it takes, if nothing was kept."""
        frames = [max(-BEFORE, -left * self.rate)]
        for before, _ in reversed(self.frame_reach):
            frames.append(max(frames[-1] - before, -left * self.rate))
        codes = [frames[-1] // self.rate]
        frames[-1] = codes[0] * self.rate
        for before, _ in reversed(self.code_reach):
            codes.append(max(codes[-1] - before, -left))
        return [*reversed(codes), *reversed(frames)]

    def stops(self, count: int, right: int) -> list[int]:
        """Where each layer ends for a chunk of `count` codes with `right` behind it."""
        frames = [min(count * self.rate + BEHIND, (count + right) * self.rate)]
        for _, after in reversed(self.frame_reach):
            frames.append(min(frames[-1] + after, (count + right) * self.rate))
        codes = [-(-frames[-1] // self.rate)]
        frames[-1] = codes[0] * self.rate
        for _, after in reversed(self.code_reach):
            codes.append(min(codes[-1] + after, count + right))
        return [*reversed(codes), *reversed(frames)]

    def kept(self, right: int, left: int) -> list[int]:
        """How many steps at the end of each layer are kept of a chunk with `right` codes behind it, for the next one,
        which has `left` codes in front of it. None of the codes: those are at hand."""
        made = self.stops(0, right)  # seen from the next chunk
        kept = [0] * self.layers
        for layer, (before, _) in enumerate(self.code_reach[1:], start=1):
            kept[layer] = made[layer] - max(made[layer + 1] - before, -left)
        for layer, (before, _) in enumerate(self.frame_reach, start=self.upsampled):
            kept[layer] = made[layer] - max(made[layer + 1] - before, -left * self.rate)
        kept[-1] = made[-1] - max(-BEFORE, -left * self.rate)
        return kept

    def spans(self, chunk: Extent) -> list[tuple[int, int, int]]:
        """Of each layer: start, stop, and how many steps are kept."""
        stops, none = self.stops(chunk.count, chunk.right), [0] * self.layers
        if chunk.ahead is None:
            return list(zip(self.starts(chunk.left), stops, none, strict=True))
        made, kept = self.stops(0, chunk.ahead), self.kept(chunk.ahead, chunk.left)
        starts = [end - ready for end, ready in zip(made, kept, strict=True)]
        starts[0] = max(made[1] - self.code_reach[0][0], -chunk.left)
        return list(zip(starts, stops, kept, strict=True))


@dataclass(frozen=True, slots=True)
class Plan:
    """By layer, where its steps lie (`have`), and where those lie that are not kept (`made`) before they join these."""

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
