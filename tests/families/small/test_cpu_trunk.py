"""A block over rows equals its source block, and gives oneDNN few shapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deployments.families.small.blocks import ConvBlock
from deployments.families.small.cpu_trunk import CpuBlock
from deployments.families.small.spans import Span


class Rows(TorchDispatchMode):
    """Records the number of rows in every in-place GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten.gelu_:
            self.seen.add(len(args[0]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("reach", [(3, 3), (2, 1), (3, 0)])
def test_a_block_equals_its_source_and_caches_few_shapes(reach: tuple[int, int]) -> None:
    torch.manual_seed(1)
    block = ConvBlock(32, 64, reach, condition_dim=8).eval()
    lean, voice = CpuBlock(block), torch.randn(1, 8)
    assert block.condition is not None
    with torch.inference_mode():
        gain, shift = block.condition(voice)[0].chunk(2)
        rows = Rows()
        for count in (1, 2, 15, 16, 17, 40, 768, 769, 800):
            x, whole = torch.randn(count, 32), [Span(0, count, 0, 0)]
            with rows:
                made = lean(x, whole, whole, [torch.stack([1 + gain, shift])])
            torch.testing.assert_close(made, block(x.unsqueeze(0), None, voice)[0], rtol=1e-4, atol=1e-4)
    assert rows.seen == {16, 32, 48, 768}
