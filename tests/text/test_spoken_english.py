"""Everyday English is read as a careful reader would."""

from __future__ import annotations

from tests.spoken import result

SHARE = 0.99


def test_everyday_text_is_read_as_a_reader_would() -> None:
    found = result("en")
    assert found.texts >= 1000
    assert len(found.wrong) <= (1 - SHARE) * found.texts, "\n".join(found.wrong.values())
