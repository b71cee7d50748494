"""The golden set: a random checkpoint in the published layout, and the published code's results for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.indextts_set import FOLDER, SHIPPED, TEXT_CASES


@pytest.fixture(scope="session")
def golden() -> Path:
    """For tests of parity. GOLDEN_INDEXTTS can name another folder with the same layout."""
    return FOLDER


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The repository's own set, for tests of behaviour."""
    return SHIPPED


@pytest.fixture(scope="session")
def expected(golden: Path) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: load_file(golden / "expected" / f"{name}.safetensors")


@pytest.fixture(scope="session")
def cases() -> dict[str, Any]:
    return TEXT_CASES
