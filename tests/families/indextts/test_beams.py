"""Beam search is not supported, for the reasons in docs/indextts.md. The golden set's beam results are marked here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.indextts_set import names

BEAMS = [(file, name) for file in ("gpt", "sampling") for name in names(file) if "beam" in name]


@pytest.mark.parametrize(("file", "tensor"), BEAMS)
def test_beams(file, tensor):
    pytest.skip("beam search is not offered: docs/indextts.md#beams")


def test_the_reason_is_stated():
    page = (Path(__file__).parents[3] / "docs" / "indextts.md").read_text("utf-8")
    assert "### Beams" in page and "tests/families/indextts/test_beams.py" in page
