"""Make exported weights a start for training: python -m training.start --weights FOLDER --encoder FILE --out FOLDER

The checkpoints are for `training.voice --start`. Set CHORALE_VOICE to a small.json of the same sizes. The phone set may
be another one: a new phone begins as the most similar old one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.families.small.arpabet import arpabet
from deployments.families.small.config import SmallConfig
from deployments.families.small.phones import OPENING, PHONE_SETS
from training import ranks
from training.codec_net import Codec
from training.gpt_net import StructuredGpt
from training.next_voice import NEXT, PHONES

SPECIAL = {"?": "pau?", "!": "pau!", "ɾ": "d", "ᵊ": "ax", "ᵻ": "ih"}  # to the set `flite`
STRESS = "ˈˌ"


def similar(symbol: str) -> str:
    """The symbol of `flite` that is nearest to one of `stressed`."""
    if symbol in PHONE_SETS["flite"].symbols and not symbol.islower():
        return symbol  # Mandarin, and the padding
    plain = symbol.strip(STRESS)
    if plain in SPECIAL:
        return SPECIAL[plain]
    return "pau" if plain in (OPENING, *PHONE_SETS["stressed"].pauses, ".") else arpabet(symbol)[0]


def phone_rows(rows: Tensor, old: SmallConfig) -> Tensor:
    """The embedding of the old phones, (old phones, D), for the new ones."""
    if old.phone_set == NEXT.phone_set:
        return rows
    places = {symbol: index for index, symbol in enumerate(old.phones.symbols)}
    return torch.stack([rows[places[similar(symbol)]] for symbol in PHONES.symbols])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=Path("deployments/families/small/weights"))
    parser.add_argument("--encoder", type=Path, required=True, help="encoder.safetensors of the same run")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    state = load_file(args.weights / "small.safetensors") | load_file(args.encoder)
    state = {name: value.float() for name, value in state.items()}
    codec, gpt = Codec(NEXT), StructuredGpt(NEXT)
    names = ("encoder.", "speaker.", "vocoder.")
    found = codec.load_state_dict({n: v for n, v in state.items() if n.startswith(names)}, strict=False)
    if missing := [name for name in found.missing_keys if name.startswith(names)]:
        raise SystemExit(f"missing: {', '.join(missing)}")
    own = {name.removeprefix("gpt."): value for name, value in state.items() if name.startswith("gpt.")}
    old = SmallConfig(**json.loads((args.weights / "small.json").read_text()))
    own["phone_embedding.weight"] = phone_rows(own["phone_embedding.weight"], old)
    shared = {n: torch.zeros_like(v) for n, v in gpt.state_dict().items() if n.startswith("level_")}
    gpt.load_state_dict(own | shared)
    for name, net in (("codec", codec), ("gpt", gpt)):
        ranks.save(args.out / f"{name}.pt", net=net.state_dict(), best=None, step=0)
    print(f"{args.out}: codec.pt, gpt.pt")


if __name__ == "__main__":
    main()
