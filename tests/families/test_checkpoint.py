from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deployments.contract.errors import ConfigError
from deployments.families.checkpoint import fill, part_of, read_tensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


class Code:
    """A hostile pickle, which runs code when loaded."""

    def __reduce__(self):
        return os.mkdir, ("was-run",)


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_tensors(path)
    assert caught.value.message.startswith(path.name)
    assert str(path.parent) not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("nest", [None, "model", "generator", "state_dict"])
def test_a_state_dict_is_found_under_the_usual_keys(tmp_path, nest):
    torch.save(STATE if nest is None else {nest: STATE, "epoch": 3}, tmp_path / "x.pth")
    found = read_tensors(tmp_path / "x.pth")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_files_of_both_kinds(tmp_path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(STATE, tmp_path / "new.safetensors")
    for name in ("old.pth", "new.safetensors"):
        assert torch.equal(read_tensors(tmp_path / name)["a.weight"], STATE["a.weight"])


@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, nested, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": STATE, "extra": Code()} if nested else Code(), tmp_path / "evil.pth")
    assert "run code" in complaint(tmp_path / "evil.pth")
    assert not (tmp_path / "was-run").exists()


def test_missing(tmp_path):
    assert "not found" in complaint(tmp_path / "gone.pth")


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("kept", [0, 3, 0.2, 0.9, 0.999])
def test_truncated(tmp_path, name, kept):
    path = tmp_path / name
    torch.save(STATE, path) if path.suffix == ".pth" else save_file(STATE, path)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    complaint(path)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint at all", b"PK\x03\x04" + bytes(100), bytes(4096), b"\x80\x02."]
)
def test_other_files(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    complaint(tmp_path / "x.pth")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.pth").mkdir()
    complaint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"model": {"a": 3}}, torch.ones(2), {"a": torch.ones(1), "b": 1}]
)
def test_a_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    complaint(tmp_path / "x.pth")


def test_filling_makes_float32(tmp_path):
    module = fill(nn.ModuleDict({"a": nn.Linear(3, 2)}), STATE, "x.pth")
    state = module.state_dict()
    assert state["a.bias"].dtype == torch.float32
    assert torch.equal(state["a.weight"], STATE["a.weight"])


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (
            {"weight": torch.ones(2, 4), "bias": torch.ones(2)},
            "x.pth: p.weight is (2, 4), the config wants (2, 3)",
        ),
        ({"bias": torch.ones(2)}, "x.pth: p.weight is missing, the config wants (2, 3)"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)},
            "x.pth: p.more is (1,), the config has no such tensor",
        ),
    ],
)
def test_a_mismatch_names_file_tensor_and_both_shapes(tensors, says):
    with pytest.raises(ConfigError) as caught:
        fill(nn.Linear(3, 2), tensors, "x.pth", "p.")
    assert caught.value.message == says


def test_a_part_is_found_by_its_prefix():
    assert part_of(STATE, "a.").keys() == {"weight", "bias"}
    assert part_of(STATE, "b.") == {}
