"""Checkpoint folders of benchmarks.gpu: random tensors of the published size, or the golden sets' few megabytes."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from deployments.families.gpt_sovits.options import PUBLISHED
from tests.golden.archive import unpacked

SIZE_OF_VOXCPM = "1.5"
_GOLDEN_FILES = {"s1.ckpt": PUBLISHED["v2Pro"][0], "s2_v2Pro.pth": PUBLISHED["v2Pro"][1]}
_GOLDEN_V4 = {
    "s2_v4.pth": PUBLISHED["v4"][1],
    "gsv-v4-pretrained/vocoder.pth": "gsv-v4-pretrained/vocoder.pth",
}


def published_size(family: str, folder: Path) -> Path:
    """GPT-SoVITS: v2Pro, and the decoder of v4."""
    if family == "indextts":
        from tests.golden import random_indextts

        return random_indextts.make(folder)
    if family == "voxcpm":
        from tests.golden import random_voxcpm

        return random_voxcpm.make(folder, SIZE_OF_VOXCPM)
    from tests.golden import random_gpt_sovits, random_gpt_sovits_cfm

    random_gpt_sovits.make(folder, "v2Pro")
    return random_gpt_sovits_cfm.make(folder, "v4")


def golden(family: str, folder: Path) -> Path:
    """The same files with the golden set's widths."""
    with tempfile.TemporaryDirectory() as scratch:
        found = unpacked(family, Path(scratch) / "golden")
        if family == "gpt_sovits":
            shutil.copytree(found / "bundle", folder)
            _moved(folder, folder, _GOLDEN_FILES)
            _moved(unpacked("gpt_sovits_v3v4", Path(scratch) / "v4") / "bundle", folder, _GOLDEN_V4)
        else:
            shutil.copytree(found / ("v15/checkpoint" if family == "voxcpm" else "checkpoint"), folder)
    return folder


def _moved(source: Path, folder: Path, names: dict[str, str]) -> None:
    for old, new in names.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source / old, folder / new)


def gib(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**30, 3)
