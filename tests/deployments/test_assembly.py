"""What identifies a model's files."""

from __future__ import annotations

from pathlib import Path

from deployments.assembly import EDGE, weights_digest


def test_new_weights_under_an_old_name_are_another_model(tmp_path: Path) -> None:
    path = tmp_path / "parts" / "gpt.safetensors"
    path.parent.mkdir()
    content = bytearray(3 * EDGE)
    path.write_bytes(content)
    first = weights_digest(tmp_path)
    assert weights_digest(tmp_path) == first
    for at in (0, EDGE - 1, 3 * EDGE - 1):  # a header, and both ends of the tensors
        changed = bytearray(content)
        changed[at] = 1
        path.write_bytes(changed)
        assert weights_digest(tmp_path) != first
    path.write_bytes(content + b"1")
    assert weights_digest(tmp_path) != first
    path.write_bytes(content)
    assert weights_digest(tmp_path) == first
    path.rename(path.with_name("other.safetensors"))
    assert weights_digest(tmp_path) != first


def test_a_folder_without_files_has_an_identity(tmp_path: Path) -> None:
    assert weights_digest(tmp_path) == weights_digest(tmp_path / "none")
