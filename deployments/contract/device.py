"""The device that a model runs on, as families and the engine see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """The chosen device. dtype: of weights and activations; reasons: what was found and chosen, and why."""

    torch_device: torch.device
    kind: str  # "musa" | "cuda" | "cpu"
    name: str
    dtype: torch.dtype
    half: bool = False
    threads: int = 1
    reasons: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        return {
            "device": str(self.torch_device),
            "kind": self.kind,
            "name": self.name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "half": self.half,
            "threads": self.threads,
            "reasons": list(self.reasons),
        }
