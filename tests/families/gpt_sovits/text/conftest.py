from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deployments.contract.device import Device
from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend

CPU = Device(torch.device("cpu"), "cpu", "cpu", torch.float32)
BERT = "chinese-roberta-wwm-ext-large"
MakeFrontend = Callable[..., GptSovitsFrontend]


@pytest.fixture(scope="session")
def texts(gpt_sovits: Path) -> dict[str, Any]:
    """text_golden.json."""
    return json.loads((gpt_sovits / "text_golden.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def make(gpt_sovits: Path) -> MakeFrontend:
    """A frontend with the golden set's BERT. rules: "published" by default."""

    def frontend(version: str = "v2", **options: Any) -> GptSovitsFrontend:
        chosen: dict[str, Any] = {"rules": "published"} | options
        return GptSovitsFrontend(gpt_sovits / "bundle" / BERT, version, CPU, **chosen)

    return frontend
