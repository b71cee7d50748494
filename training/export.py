"""Write the weights that inference needs: python -m training.export

Speaker encoder, vocoder and the merged GPT, in bfloat16, to
deployments/families/small/weights/small.safetensors, with the sizes beside them in small.json. The codec's encoder,
which only training needs, goes to training/weights/encoder.safetensors, so that training can go on from what is
shipped (training/warm.py). `--random` fills in whatever is not trained yet.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deployments.families.small.config import SmallConfig
from training.codec_net import Codec
from training.gpt_net import StructuredGpt
from training.warm import ENCODER

LIMIT = 24 * 2**20  # bytes


def rounded(parts: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All tensors of the nets in bfloat16, each under its net's name."""
    return {
        f"{name}.{key}": value.to(torch.bfloat16).contiguous()
        for name, net in parts.items()
        for key, value in net.state_dict().items()
    }


def write(tensors: dict[str, Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file.with_suffix(".tmp"))
    file.with_suffix(".tmp").rename(file)
    file.chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--codec", type=Path, default=Path("training/runs/codec.pt"))
    parser.add_argument("--gpt", type=Path, default=Path("training/runs/gpt.pt"))
    parser.add_argument("--out", type=Path, default=Path("deployments/families/small/weights"))
    parser.add_argument("--encoder", type=Path, default=ENCODER, help="file for the codec's encoder")
    parser.add_argument("--random", action="store_true", help="random tensors for a missing checkpoint")
    args = parser.parse_args()

    torch.manual_seed(0)
    config = SmallConfig()
    codec, gpt = Codec(config), StructuredGpt(config)
    for net, path in ((codec, args.codec), (gpt, args.gpt)):
        if path.exists():
            net.load_state_dict(torch.load(path)["net"])
        elif not args.random:
            parser.error(f"{path} is missing")
        else:
            print(f"{path} is missing: random tensors")
    file = args.out / "small.safetensors"
    tensors = rounded({"speaker": codec.speaker, "vocoder": codec.vocoder, "gpt": gpt.merged()})
    write(tensors, file)
    write(rounded({"encoder": codec.encoder}), args.encoder)
    (args.out / "small.json").write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    print(
        f"{file}: {file.stat().st_size / 2**20:.2f} MiB, {sum(v.numel() for v in tensors.values()) / 1e6:.2f} M"
    )
    if file.stat().st_size > LIMIT:
        raise SystemExit("too large")


if __name__ == "__main__":
    main()
