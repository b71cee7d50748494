from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.families.gpt_sovits.cfm.parts import GoldenSet


@pytest.fixture(scope="session")
def whole_set(gpt_sovits_v3v4: Path, gpt_sovits: Path) -> GoldenSet:
    return GoldenSet(gpt_sovits_v3v4, gpt_sovits)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield
