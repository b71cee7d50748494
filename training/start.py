"""Make exported weights a start for training: python -m training.start --weights FOLDER --encoder FILE --out FOLDER

The checkpoints are for `training.voice --start`. Set CHORALE_VOICE to a small.json of the same sizes. The phone set may
be another one: a new phone begins as the most similar old one. The sample rate may be another one, with bins and frames
as wide as before, and a phase filter or the vocoder's phones may be added: what is known about the old bands stays
(`widened`).
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from deployments.families.small.arpabet import arpabet
from deployments.families.small.config import SmallConfig
from deployments.families.small.features import mel_filters
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


def vocoder_phones(state: dict[str, Tensor], old: SmallConfig) -> dict[str, Tensor]:
    """The vocoder's embedding of phones, of which it knows nothing if the weights have none."""
    if not NEXT.vocoder_phones:
        return {}
    name = "vocoder.phones.weight"
    rows = phone_rows(state[name], old) if name in state else torch.zeros(NEXT.n_phones, NEXT.vocoder_dim)
    return {name: rows}


def widened(state: dict[str, Tensor], old: SmallConfig) -> dict[str, Tensor]:
    """The tensors of encoder, speaker encoder and vocoder for the rate, bands and filters of NEXT.

    Raises ValueError if the bins or frames have another width, or there are fewer filters.
    """
    if (NEXT.sample_rate, NEXT.n_mels, NEXT.filters) == (old.sample_rate, old.n_mels, old.filters):
        return state
    ratio = NEXT.sample_rate / old.sample_rate
    if (NEXT.n_fft, NEXT.hop) != (ratio * old.n_fft, ratio * old.hop) or ratio < 1:
        raise ValueError("n_fft and hop must be as large relative to sample_rate, which must not be smaller")
    if NEXT.filters < old.filters:
        raise ValueError("phase_filter must be true, as in the weights")
    made, bands, shift = dict(state), old_bands(old), math.log(ratio)  # magnitudes grow with the rate

    weight = state["encoder.enter.weight"]  # (D, M + 2); the means of the bands are subtracted
    made["encoder.enter.weight"] = torch.cat([weight[:, :-2] @ bands, weight[:, -2:]], dim=1)
    weight = state["speaker.enter.weight"].unflatten(1, (2, old.n_mels))  # (D, 2, M) of (mel + 5) / 3
    made["speaker.enter.weight"] = (weight @ bands).flatten(1)
    made["speaker.enter.bias"] = state["speaker.enter.bias"] - weight.sum((1, 2)) * shift / 3

    rows = torch.arange(NEXT.n_bins).clamp(max=old.n_bins * 31 // 32)  # the last bins had nothing to model
    for name in ("weight", "bias"):
        values = state[f"vocoder.filter_head.{name}"].unflatten(0, (old.filters, old.n_bins))[:, rows]
        if name == "bias":
            values[:2] += shift / 2  # the power of pulses and noise is spread over more bins
        missing = NEXT.filters - old.filters
        phases = values.new_zeros(missing, *values.shape[1:])
        made[f"vocoder.filter_head.{name}"] = torch.cat([values, phases]).flatten(0, 1)
    return made


def old_bands(old: SmallConfig) -> Tensor:
    """(old bands, new bands): the old log-mel by linear interpolation in the new one, but for a constant."""

    def centres(config: SmallConfig) -> Tensor:
        filters = mel_filters(config.sample_rate, config.n_fft, config.n_mels).double()
        hz = torch.linspace(0, config.sample_rate / 2, config.n_bins, dtype=torch.float64)
        return (filters * hz.unsqueeze(1)).sum(0) / filters.sum(0)

    new, wanted = centres(NEXT), centres(old)
    after = torch.searchsorted(new, wanted).clamp(1, len(new) - 1)
    share = ((wanted - new[after - 1]) / (new[after] - new[after - 1])).clamp(0, 1).unsqueeze(1)
    eye = torch.eye(len(new), dtype=torch.float64)
    return ((1 - share) * eye[after - 1] + share * eye[after]).float()


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
    old = SmallConfig(**json.loads((args.weights / "small.json").read_text()))
    state = widened(state, old) | vocoder_phones(state, old)
    codec, gpt = Codec(NEXT), StructuredGpt(NEXT)
    names = ("encoder.", "speaker.", "vocoder.")
    found = codec.load_state_dict({n: v for n, v in state.items() if n.startswith(names)}, strict=False)
    if missing := [name for name in found.missing_keys if name.startswith(names)]:
        raise SystemExit(f"missing: {', '.join(missing)}")
    own = {name.removeprefix("gpt."): value for name, value in state.items() if name.startswith("gpt.")}
    own["phone_embedding.weight"] = phone_rows(own["phone_embedding.weight"], old)
    shared = {n: torch.zeros_like(v) for n, v in gpt.state_dict().items() if n.startswith("level_")}
    gpt.load_state_dict(own | shared)
    for name, net in (("codec", codec), ("gpt", gpt)):
        ranks.save(args.out / f"{name}.pt", net=net.state_dict(), best=None, step=0)
    print(f"{args.out}: codec.pt, gpt.pt")


if __name__ == "__main__":
    main()
