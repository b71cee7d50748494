"""Linear layers and attention whose rows have the same bits in every batch.

Matrix products choose their kernel, and with it the order of their sums, by the number of rows. On a CPU in fp32
(torch 2.11, MKL 2024.2, FBGEMM, AVX2, one thread), whether a row keeps its bits at every batch size:

    F.linear, addmm, bmm, einsum, oneDNN   no: 1, 2 and 4 rows or more all differ
    F.linear, one row at a time            yes
    F.linear, rows padded to 8             yes
    FBGEMM fp16 weights, padded to 4       yes: its 3 to 6 row kernels sum in one order; the fastest of them here

FBGEMM keeps the weights as fp16 and computes and sums in fp32; bf16 weights (as shipped) survive that. Its
kernels for one and two rows sum in another order, and some row counts (7, 14, 31, 32) end in them; multiples of 4
up to 24 do not. Other CPUs and more threads may differ, so each shape is probed when it is first used. A model is
therefore built on the thread that runs it (`DeviceThread`), whose thread count is set.

In bf16 on a CPU, oneDNN multiplies weights that it has laid out once; F.linear lays them out at each call. Rows keep
their bits there at every batch size (AVX512-BF16, one thread and two).

Attention of one query per row over its own slot holds too, at any batch and with a mask of any length: rows in
neighbouring slots attend in one call over a view of the cache, without a copy. This too is probed. Caches in fp16 need
no probe (`decode/paged.py`).

Safe as torch has them: softmax, layer norm, argmax and topk over the last dimension, embeddings, and + - * /.
Elementwise exp, erf and tanh (so GELU and SiLU) only where the last dimension is a multiple of 16: a vector loop
leaves a scalar tail, computed otherwise.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

log = logging.getLogger(__name__)
LANES = 16  # of a vector loop: see above
_TYPICAL_ROWS = 128  # for which oneDNN chooses a layout; another count changes the speed only
_FP16_MAX = 65504.0
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows are padded to a multiple of `multiple` and computed at most `most` at a time; 0: all at once."""

    multiple: int
    most: int


PACKED = Blocks(4, 24)
PADDED = Blocks(8, 32)
SINGLE = Blocks(1, 1)
_ANY = Blocks(1, 0)


class Linear(nn.Module):
    """x (..., K) -> (..., N), x @ weight.T + bias; rows are invariant on a CPU in fp32, F.linear elsewhere.

    weight: (N, K), kept as fp16 on a CPU if they are 16-bit values; bias: (N,) or None; bytes: what a product reads of
    weights. once: bf16 weights on a CPU are laid out once. TorchScript takes it.
    """

    __constants__ = ("packed", "laid_out", "row_multiple", "most_rows")

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, once: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.packed = self.laid_out = False
        self.bytes = self.weight.numel() * self.weight.element_size()
        self._use(_ANY)
        if weight.device.type == "cpu" and weight.dtype == torch.float32:
            self._make_invariant()
        elif once and weight.device.type == "cpu" and weight.dtype == torch.bfloat16:
            laid_out = lay_out(self.weight)
            if laid_out is not None:
                self.weight, self.laid_out = laid_out, True

    def _make_invariant(self) -> None:
        if _are_16_bit(self.weight):
            handle = _packed(self.weight, self.bias)
            if handle is not None and _holds(
                lambda x: torch.ops.quantized.linear_dynamic_fp16(x, handle), PACKED, self.weight.shape[1]
            ):
                self.handle, self.packed = handle, True
                self.weight = self.weight.new_empty(0)  # the packed copy replaces it
                self.bytes //= 2
                self._use(PACKED)
                return
        self._use(_blocks_of(*self.weight.shape, torch.get_num_threads()))

    def _use(self, blocks: Blocks) -> None:
        # inputs with a multiple of `row_multiple` rows are not padded: a caller may pad once for several layers
        self.row_multiple, self.most_rows = blocks.multiple, blocks.most

    def forward(self, x: Tensor) -> Tensor:
        if self.laid_out:
            return multiply(x, self.weight, self.bias)
        if self.most_rows == 0:
            return F.linear(x, self.weight, self.bias)
        flat = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])  # (M, K)
        rows = flat.shape[0]
        if rows % self.row_multiple != 0:
            flat = F.pad(flat, (0, 0, 0, self.row_multiple - rows % self.row_multiple))
        if flat.shape[0] <= self.most_rows:
            y = self._product(flat)
        else:
            y = torch.cat([self._product(block) for block in flat.split(self.most_rows)])
        if y.shape[0] != rows:
            y = y[:rows]
        return y if x.dim() == 2 else y.reshape(x.shape[:-1] + y.shape[-1:])

    def _product(self, x: Tensor) -> Tensor:
        if self.packed:
            return torch.ops.quantized.linear_dynamic_fp16(x, self.handle)
        return F.linear(x, self.weight, self.bias)


def lay_out(weight: Tensor) -> Tensor | None:
    """weight (N, K) as oneDNN reads it in `multiply`: no call lays it out again. None if this CPU's oneDNN cannot."""
    try:
        return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS)
    except (RuntimeError, AttributeError) as error:
        log.info(
            "plain linear layers: oneDNN cannot lay their weights out (%s)",
            str(error).splitlines()[0],
        )
        return None


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (..., K) -> (..., N), x @ weight.T + bias. weight: from `lay_out`."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Head(nn.Module):
    """x (B, K) -> float32 logits (B, width). TorchScript takes it.

    width: the outputs, padded to a multiple of LANES, so that no SIMD tail depends on the batch. The surplus is -inf.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        outputs = len(bias)
        self.width = outputs + -outputs % LANES
        pad = self.width - outputs
        self.linear = Linear(
            F.pad(weight.detach(), (0, 0, 0, pad)), F.pad(bias.detach(), (0, pad)), once=True
        )
        self.surplus = torch.arange(self.width, device=bias.device) >= outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).float().masked_fill(self.surplus, float("-inf"))


def attend_range(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """One query of H heads in each row over its own slot. q: (B, H, D); keys, values: (B, KV, L, D); mask:
    (B, 1, 1, L), False or -inf where masked, or None -> (B, H, D).

    The H / KV query heads that share keys and values become queries of one head, so that nothing is copied.
    """
    groups = q.unflatten(1, (keys.shape[1], -1))  # (B, KV, H / KV, D)
    return F.scaled_dot_product_attention(groups, keys, values, attn_mask=mask).flatten(1, 2)


def masked_attention_holds(heads: int, dim: int, queries: int = 1) -> bool:
    """Whether, on this CPU, the bits of a row of `attend_range` depend neither on other rows nor on the mask's length.

    True where measured (torch 2.11, AVX2) with one thread, False with two, whose scratch memory is aligned otherwise.
    Where False, each row must attend alone, at exactly its length. heads: of keys and values; queries: query heads for
    each.
    """
    return _masked_attention_holds(heads, dim, queries, torch.get_num_threads())


@cache
def _masked_attention_holds(heads: int, dim: int, queries: int, threads: int) -> bool:
    make = torch.Generator().manual_seed(3)
    context, rows = 640, 9
    keys, values = (torch.randn(rows, heads, context, dim, generator=make) for _ in range(2))
    q = torch.randn(rows, heads * queries, dim, generator=make)
    for last in (5, 63, 100, 200, 520):
        found = []
        for begin, count in ((3, 1), (3, 2), (0, 8), (1, 7), (0, 9)):
            for length in (128, 192, 576, context):
                if length <= last:
                    continue
                span = slice(begin, begin + count)
                first = last - 3 + begin
                seen = torch.arange(length) <= torch.arange(first, first + count)[:, None]
                mask = torch.where(seen, 0.0, float("-inf"))[:, None, None]
                mixed = attend_range(q[span], keys[span, :, :length], values[span, :, :length], mask)
                found.append(mixed[3 - begin])
        if not all(torch.equal(one, found[0]) for one in found):
            log.info(
                "attention runs row by row: with %d heads of %d and %d threads, rows depend on their batch",
                heads,
                dim,
                threads,
            )
            return False
    return True


class Norm(nn.Module):
    """Layer norm over the last dimension, whose rows are invariant as torch computes them. x: (..., N)"""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = weight.detach(), bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


def _are_16_bit(weight: Tensor) -> bool:
    return any(torch.equal(weight, weight.to(dtype).float()) for dtype in (torch.bfloat16, torch.float16))


def _packed(weight: Tensor, bias: Tensor | None) -> torch.ScriptObject | None:
    if weight.abs().max().item() > _FP16_MAX:
        return None
    try:
        return torch.ops.quantized.linear_prepack_fp16(weight.contiguous(), bias)
    except RuntimeError as error:  # not an x86 build
        log.info("plain linear layers: no fp16 packing on this machine (%s)", str(error).splitlines()[0])
        return None


@cache
def _blocks_of(outputs: int, inputs: int, threads: int) -> Blocks:
    weight = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(1))
    for blocks in (PADDED, SINGLE):
        if _holds(lambda x: F.linear(x, weight), blocks, inputs):
            return blocks
    log.warning("linear layers of %d x %d are not batch-invariant with %d threads", outputs, inputs, threads)
    return SINGLE


def _holds(product: Product, blocks: Blocks, inputs: int) -> bool:
    """Whether a row gets the same bits at every place of every batch of `blocks`."""
    row = torch.randn(1, inputs, generator=torch.Generator().manual_seed(2))
    expected = product(row.repeat(blocks.multiple, 1))[0]
    return all(
        torch.equal(product(row.repeat(rows, 1)), expected.expand(rows, -1))
        for rows in range(blocks.multiple, blocks.most + 1, blocks.multiple)
    )
