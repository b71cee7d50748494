"""Write the weights that inference needs: python -m training.export

It writes the speaker encoder, the vocoder and the merged GPT in bfloat16 to
deployments/families/small/weights/small.safetensors, and the sizes to small.json. `--parts` also writes what training
needs to continue from the shipped weights (training/warm.py).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig
from deployments.families.small.frontend import SmallFrontend
from deployments.families.small.gpt_net import GptNet
from deployments.families.small.speaker import SpeakerEncoder
from training.codec import load_codec
from training.generate import generate
from training.gpt import load_gpt
from training.phone_net import RECOGNISER, load_phone_net
from training.shipped import reference
from training.warm import PARTS

# The calibration sentences for timbre (deployments/families/small/timbre.py)
TYPICAL = {
    "clara": "She had your dark suit in greasy wash water all year.",
    "ross": "A quick brown fox jumps over the lazy dog.",
    "mei": "今天天气很好，我们一起去公园走走吧。",
    "wei": "请把桌子上的书放回图书馆。",
}
LIMIT = 24 * 2**20  # bytes


def rounded(parts: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All tensors of the networks in bfloat16, prefixed with the network's name."""
    return {
        f"{name}.{key}": value.to(torch.bfloat16).contiguous()
        for name, net in parts.items()
        for key, value in net.state_dict().items()
    }


@torch.inference_mode()
def typical(encoder: SpeakerEncoder, gpt: GptNet) -> Tensor:
    """The codes (T,) int32 of the sentences in TYPICAL, concatenated."""
    said = []
    for voice, text in TYPICAL.items():
        vector = encoder(torch.from_numpy(reference(voice)).unsqueeze(0))
        (segment,) = SmallFrontend().segments(text)
        phones = [torch.from_numpy(segment.token_ids)]
        said += generate(gpt.eval(), vector, phones, temperature=gpt.config.temperature)
    return torch.cat(said).int()


def write(tensors: dict[str, Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    made = file.with_suffix(".tmp")
    save_file(tensors, made)
    size = made.stat().st_size
    print(f"{file}: {size / 2**20:.2f} MiB, {sum(v.numel() for v in tensors.values()) / 1e6:.2f} M")
    if size > LIMIT:
        made.unlink()
        raise SystemExit(f"too large: {LIMIT / 2**20:.0f} MiB are allowed; {file} is unchanged")
    made.rename(file)
    file.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", default="training/runs/codec.pt", help="its checkpoint, or `shipped`")
    parser.add_argument("--gpt", default="training/runs/gpt.pt", help="its checkpoint, or `shipped`")
    parser.add_argument("--recogniser", default=RECOGNISER, help="its checkpoint, or `shipped`")
    parser.add_argument("--out", type=Path, default=Path("deployments/families/small/weights"))
    parser.add_argument("--parts", action="store_true", help=f"also write {PARTS}")
    args = parser.parse_args()

    codec, gpt = load_codec(args.codec), load_gpt(args.gpt)
    if args.parts:
        write(rounded({"encoder": codec.encoder, "recogniser": load_phone_net(args.recogniser)}), PARTS)
    nets = {"speaker": codec.speaker, "vocoder": codec.vocoder, "gpt": gpt.merged()}
    codes = typical(codec.speaker, nets["gpt"])
    write({**rounded(nets), "timbre.codes": codes}, args.out / "small.safetensors")
    (args.out / "small.json").write_text(json.dumps(asdict(SmallConfig()), indent=2) + "\n")


if __name__ == "__main__":
    main()
