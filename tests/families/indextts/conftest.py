"""The golden set: a random checkpoint in the published layout, and what the published code makes of it."""

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
    """For tests of parity: another folder of the same layout may be named in GOLDEN_INDEXTTS."""
    return FOLDER


@pytest.fixture(scope="session")
def shipped() -> Path:
    """For tests of behaviour: the repository's own."""
    return SHIPPED


@pytest.fixture(scope="session")
def expected(golden: Path) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: load_file(golden / "expected" / f"{name}.safetensors")


@pytest.fixture(scope="session")
def cases() -> dict[str, Any]:
    return TEXT_CASES
