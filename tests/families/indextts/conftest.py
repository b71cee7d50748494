"""The golden set: a random checkpoint in the published layout, and what the published code makes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).parents[2] / "golden" / "indextts"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Another folder of the same layout may be named in GOLDEN_INDEXTTS."""
    return Path(os.environ.get("GOLDEN_INDEXTTS") or HERE)


@pytest.fixture(scope="session")
def expected(golden: Path) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: load_file(golden / "expected" / f"{name}.safetensors")


@pytest.fixture(scope="session")
def cases(golden: Path) -> dict[str, Any]:
    return json.loads((golden / "expected" / "text_and_codes.json").read_text("utf-8"))
