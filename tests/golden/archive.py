"""Golden sets that are kept as one archive each, and unpacked once per test session.

A conftest.py makes a fixture of each set that it needs: `gpt_sovits = golden_set("gpt_sovits")`.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent


def golden_set(name: str) -> Callable[..., Path]:
    """A session fixture: the folder of the set tests/golden/`name`.tar.xz.

    The environment variable GOLDEN_`NAME` names an unpacked folder with the same layout to use instead.
    """

    import pytest  # a benchmark unpacks sets without it

    @pytest.fixture(scope="session", name=name)
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
        if given := os.environ.get(f"GOLDEN_{name.upper()}"):
            return Path(given).resolve()
        return unpacked(name, tmp_path_factory.mktemp(name))

    return folder


def unpacked(name: str, into: Path) -> Path:
    """Unpacks the set `name` and returns its folder, the only one at the top of the archive."""
    with tarfile.open(HERE / f"{name}.tar.xz") as archive:
        archive.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder
