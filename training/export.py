"""Writes the weights that inference needs: speaker encoder, vocoder and merged GPT in bfloat16, and their sizes.

`small.safetensors` and `small.json` in a folder that `family.options.weights` names. `encoder.safetensors` has what
they leave out, without which they cannot be trained further (training/start.py).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.codec_net import Codec
from training.encode import Encoded
from training.gpt_net import StructuredGpt
from training.next_voice import NEXT

LIMIT = 36 * 2**20  # bytes
CALIBRATION = 500  # codes: ten seconds for timbre (deployments/families/small/timbre.py)


def export(codec: Codec, gpt: StructuredGpt, rows: Encoded, out: Path) -> int:
    """Returns the bytes written. Raises ValueError if they exceed LIMIT; the folder is then unchanged."""
    tensors = {**rounded({"speaker": codec.speaker, "vocoder": codec.vocoder, "gpt": gpt.merged()})}
    tensors["timbre.codes"] = calibration(rows)
    out.mkdir(parents=True, exist_ok=True)
    made = out / "small.tmp"
    save_file(tensors, made)
    size = made.stat().st_size
    if size > LIMIT:
        made.unlink()
        raise ValueError(f"{size / 2**20:.1f} MiB of weights; {LIMIT / 2**20:.0f} MiB are allowed")
    made.rename(out / "small.safetensors")
    (out / "small.safetensors").chmod(0o644)
    save_file(rounded({"encoder": codec.encoder}), out / "encoder.safetensors")
    (out / "small.json").write_text(json.dumps(asdict(NEXT), indent=2) + "\n")
    return size


def rounded(parts: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All tensors of the networks in bfloat16, prefixed with the network's name."""
    return {
        f"{name}.{key}": value.to("cpu", torch.bfloat16).contiguous()
        for name, net in parts.items()
        for key, value in net.state_dict().items()
    }


def calibration(rows: Encoded) -> Tensor:
    """Units (T,) int32 of utterances of different speakers, the longest first."""
    chosen, names, total = [], set(), 0
    for index in reversed(range(len(rows.steps))):
        if total < CALIBRATION and rows.names[index] not in names:
            names.add(rows.names[index])
            codes, pointer = (
                part[index, : rows.steps[index]].int().cpu() for part in (rows.codes, rows.pointer)
            )
            phones = rows.phones[index].int().cpu()[pointer]
            chosen.append(codes + phones * NEXT.n_codes if NEXT.vocoder_phones else codes)
            total += len(chosen[-1])
    return torch.cat(chosen)[:CALIBRATION]
