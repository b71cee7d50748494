"""BERT features of Chinese text: chinese-roberta-wwm-ext-large, as the transformers library stores it.

The feature of a character is the output of the third-last layer (Devlin et al., 2019, for the network), so the last two
layers and the head are never loaded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from deployments.contract.device import Device
from deployments.contract.errors import CheckpointError
from deployments.families.checkpoint import fill, read_tensors
from deployments.families.gpt_sovits.pretrained import read_config, weights_file
from deployments.families.gpt_sovits.shared import shared

UNUSED_LAYERS = 2
CACHE_BYTES = 64 * 2**20

_CLS, _SEP, _UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_MOST_BYTES = 2**22  # of vocab.txt
Count = Annotated[int, Field(gt=0)]


class BertConfig(BaseModel):
    """The keys of config.json that inference uses."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    vocab_size: Count
    hidden_size: Count
    intermediate_size: Count
    num_attention_heads: Count
    num_hidden_layers: Annotated[int, Field(gt=UNUSED_LAYERS)]
    max_position_embeddings: Annotated[int, Field(gt=2)]
    type_vocab_size: Count = 2
    layer_norm_eps: float = 1e-12
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"


class Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[-1], device=ids.device)
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0]
        return self.LayerNorm(x + self.position_embeddings(places))


class Layer(nn.Module):
    """A post-norm transformer layer: (B, T, C) -> (B, T, C)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.attention_norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.up = nn.Linear(width, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, width)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(query, key, value)
        x = self.attention_norm(x + self.out(seen.transpose(1, 2).flatten(2)))
        return self.norm(x + self.down(F.gelu(self.up(x))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


_NAMES = {
    "attention.self.": "",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
}


class Bert(nn.Module):
    """Token ids (B, T) -> the hidden states (B, T, C) of the third-last layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers - UNUSED_LAYERS))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embeddings(ids)
        for layer in self.layers:
            x = layer(x)
        return x


class BertFeatures:
    """The features of Chinese text, one row for each character. Not thread-safe: it belongs to one device thread."""

    def __init__(self, net: Bert, vocabulary: dict[str, int], longest: int, device: Device) -> None:
        self._device = device
        self._net = net
        self._ids, self._longest = vocabulary, longest
        self._known: LRUCache[str, np.ndarray] = LRUCache(CACHE_BYTES, lambda rows: rows.nbytes)
        self.width = net.embeddings.word_embeddings.embedding_dim

    @classmethod
    def load(cls, folder: Path, device: Device) -> Self:
        """folder: config.json, vocab.txt and the weights. The network is shared with others of the same files, device
        and precision. Raises CheckpointError, which names the file at fault.
        """
        config = read_config(folder, BertConfig)
        vocabulary = _vocabulary(folder, config.vocab_size)
        on, dtype = device.torch_device, device.dtype
        net = shared(lambda: cls.network(folder, config).to(on, dtype).eval(), folder, Bert, on, dtype)
        return cls(net, vocabulary, config.max_position_embeddings, device)

    @staticmethod
    def network(folder: Path, config: BertConfig) -> Bert:
        """In float32 on the CPU. Raises CheckpointError."""
        path = weights_file(folder)
        tensors = {}
        for name, tensor in read_tensors(path, ()).items():
            name = name.removeprefix("bert.")
            layer = _LAYER.match(name)
            if layer and int(layer[1]) < config.num_hidden_layers - UNUSED_LAYERS:
                tensors[_own_name(name, layer)] = tensor.float()
            elif name.startswith("embeddings.") and not name.endswith("position_ids"):
                tensors[_renamed(name, _OLD_NAMES)] = tensor.float()
        return fill(Bert(config), tensors, path.name)

    def ids(self, text: str) -> list[int]:
        """The token ids of `text`, one for each character, between those of [CLS] and [SEP]."""
        unknown = self._ids[_UNKNOWN]
        inner = [self._ids.get(character, unknown) for character in text.lower()]
        return [self._ids[_CLS], *inner, self._ids[_SEP]]

    def __call__(self, text: str) -> np.ndarray:
        """float32 (characters, C). Text beyond the model's positions is read in parts."""
        if (found := self._known.get(text)) is None:
            room = self._longest - 2
            found = np.concatenate([self._rows(text[at : at + room]) for at in range(0, len(text), room)])
            found.setflags(write=False)  # shared by later calls
            self._known[text] = found
        return found

    @torch.inference_mode()
    def _rows(self, text: str) -> np.ndarray:
        ids = torch.tensor([self.ids(text)], device=self._device.torch_device)
        return self._net(ids)[0, 1:-1].float().cpu().numpy()


def _own_name(name: str, layer: re.Match[str]) -> str:
    inner = _renamed(name[layer.end() :], _OLD_NAMES)
    for theirs, ours in _NAMES.items():
        if inner.startswith(theirs):
            return f"layers.{layer[1]}.{ours}{inner.removeprefix(theirs)}"
    return name


def _renamed(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        name = name.replace(old, new)
    return name


def _vocabulary(folder: Path, size: int) -> dict[str, int]:
    """The ids of vocab.txt, one token a line. Raises CheckpointError."""
    file = f"{folder.name}/vocab.txt"
    try:
        with (folder / "vocab.txt").open("rb") as opened:
            lines = opened.read(_MOST_BYTES).decode().splitlines()
    except FileNotFoundError:
        raise CheckpointError(f"{file}: not found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: cannot be read ({type(error).__name__})") from None
    ids = {token: index for index, token in enumerate(lines)}
    if missing := [token for token in (_CLS, _SEP, _UNKNOWN) if token not in ids]:
        raise CheckpointError(f"{file}: has no token {missing[0]}")
    if len(lines) > size:
        raise CheckpointError(f"{file}: has {len(lines)} tokens, config.json's vocab_size says {size}")
    return ids
