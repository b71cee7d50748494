"""What the family says of v3 and v4, and v3 with bandwidth extension."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deployments import families
from deployments.contract.errors import CheckpointError, ConfigError, InvalidInput
from deployments.engine.device.choose import choose_device
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, GoldenSet
from tests.families.gpt_sovits.cfm.test_vocoder_cfm import a_chunk, a_voice, alone


def options(whole_set: GoldenSet, **given: object) -> dict[str, object]:
    bundle = whole_set.bundle
    return {
        "model_dir": str(whole_set.shared / "bundle"),
        "gpt": "s1.ckpt",
        "sovits": str(bundle / "s2_v3.pth"),
        "bigvgan": str(bundle / BIGVGAN),
        "hifigan": str(bundle / "gsv-v4-pretrained" / "vocoder.pth"),
        "ap_bwe": str(bundle / "AP_BWE_24kto48k"),
        **given,
    }


def test_v3_speaks_at_48_khz_with_bandwidth_extension(whole_set: GoldenSet) -> None:
    family = families.load("gpt_sovits", options(whole_set))
    plain = families.load("gpt_sovits", options(whole_set, ap_bwe=None))
    assert (family.spec.sample_rate, plain.spec.sample_rate) == (48000, 24000)
    assert (family.spec.super_resolution, plain.spec.super_resolution) == (True, False)
    assert family.spec.samples_per_code == 2 * plain.spec.samples_per_code == 1920
    device = choose_device("cpu", threads=1)
    chunk = replace(a_chunk(whole_set, a_voice(whole_set, "v3"), "en1"), controls={"sample_steps": 4})
    wide, narrow = (alone(one.vocoder(device), chunk) for one in (family, plain))  # pyright: ignore
    assert len(wide) == 2 * len(narrow) == len(chunk.frames) * 1920
    assert np.isfinite(wide).all() and 0 < np.abs(wide).max() <= 1


def test_the_other_versions_need_none(whole_set: GoldenSet) -> None:
    v4 = str(whole_set.bundle / "s2_v4.pth")
    with pytest.raises(ConfigError, match=r"ap_bwe: is for v3, but s2_v4\.pth is v4"):
        families.load("gpt_sovits", options(whole_set, sovits=v4))


def test_a_missing_folder_is_named(whole_set: GoldenSet, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"family\.options\.ap_bwe: 'none' not found"):
        families.load("gpt_sovits", options(whole_set, ap_bwe=str(tmp_path / "none")))


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_request_chooses_among_the_steps_of_the_solver(whole_set: GoldenSet, version: str) -> None:
    sovits = str(whole_set.bundle / f"s2_{version}.pth")
    spec = families.load("gpt_sovits", options(whole_set, sovits=sovits, ap_bwe=None)).spec
    assert spec.needs_transcript
    assert [spec.sampling({"sample_steps": steps}).controls["sample_steps"] for steps in (4, 32)] == [4, 32]
    for steps in (7, 0, 64, 8.5, "8"):
        with pytest.raises(InvalidInput, match="one of 4, 8, 16, 32") as refused:
            spec.sampling({"sample_steps": steps})
        assert refused.value.param == "sample_steps"


def test_the_vits_versions_have_neither_steps_nor_need_of_a_transcript(whole_set: GoldenSet) -> None:
    sovits = str(whole_set.shared / "bundle" / "s2_v2Pro.pth")
    spec = families.load("gpt_sovits", options(whole_set, sovits=sovits, ap_bwe=None)).spec
    assert not spec.needs_transcript
    with pytest.raises(InvalidInput) as refused:
        spec.sampling({"sample_steps": 8})
    assert refused.value.param == "sample_steps"
