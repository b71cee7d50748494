"""What travels between the stages: text as segments, voices as prompts, codes, frames and sound.

Types that cross process boundaries hold numpy arrays, never torch tensors.

A code is what a decode step draws and feeds back: a number, or a patch of continuous latents. A frame is what the
vocoder takes for it. In some families they are the same; in others the frame is the GPT's hidden state.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from deployments.contract.controls import Value


@dataclass(frozen=True, slots=True)
class Sampling:
    """How codes are drawn. `speed` scales durations (2.0 is twice as fast); `max_tokens` bounds a segment's codes.

    controls: the value of each of the family's controls.
    """

    seed: int = 0
    max_tokens: int = 1500
    speed: float = 1.0
    controls: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def of(cls, *, seed: int = 0, max_tokens: int = 1500, speed: float = 1.0, **controls: Value) -> Self:
        return cls(seed, max_tokens, speed, controls)

    @property
    def greedy(self) -> bool:
        """Whether no seed changes the codes."""
        return self.controls.get("temperature") == 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text that is synthesised as one.

    token_ids: int64 (T,), empty for a segment of silence alone; pause_after: the silence after it, in seconds;
    features: further inputs of the GPT; span: start and end in the given text, if the frontend knows them; conditions:
    inputs of the vocoder from the text; spoken: the words that are said, in lower case, numbers as words; max_codes:
    more codes than this cannot be its speech, None for no such limit; places: int32 (T,), where in `text` the word or
    character begins that each token is of, -1 for marks, if the frontend knows.
    """

    text: str
    token_ids: np.ndarray
    pause_after: float = 0.0
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    conditions: Mapping[str, np.ndarray] = field(default_factory=dict)
    spoken: str = ""
    max_codes: int | None = None
    places: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What a voice is taken from. waveforms: float32 (N,) mono and its rate in Hz, at least one.

    They are checked where they are read: finite, not silent, and no shorter or longer than the family's spec allows.
    transcript, language: of the first one, None if not known. The others add to the timbre, in families that mix
    several.
    """

    waveforms: tuple[tuple[np.ndarray, int], ...]
    transcript: str | None = None
    language: str | None = None

    @classmethod
    def of(
        cls, waveform: np.ndarray, rate: int, transcript: str | None = None, language: str | None = None
    ) -> Self:
        return cls(((waveform, rate),), transcript, language)

    @property
    def first(self) -> tuple[np.ndarray, int]:
        return self.waveforms[0]

    @property
    def key(self) -> str:
        """A hash of all that a voice encoder sees."""
        shapes = [(rate, len(waveform)) for waveform, rate in self.waveforms]
        digest = hashlib.sha256(json.dumps([shapes, self.transcript, self.language]).encode())
        for waveform, _ in self.waveforms:
            digest.update(np.ascontiguousarray(waveform, np.float32).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """The features of a voice: named arrays, and `key`, the hash of their content (it names the prompt in caches)."""

    family: str
    tensors: Mapping[str, np.ndarray]
    key: str

    @classmethod
    def of(cls, family: str, tensors: Mapping[str, np.ndarray]) -> Self:
        arrays = {name: np.ascontiguousarray(value) for name, value in sorted(tensors.items())}
        return cls(family, arrays, hashlib.sha256(save_tensors(arrays)).hexdigest())

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.tensors.values())

    def mixed(self, others: Sequence[Self], names: Sequence[str]) -> Self:
        """This voice with the mean of its tensors `names` and those of the others, as `Reference` mixes timbres."""
        tensors = dict(self.tensors)
        for name in names:
            together = np.stack([prompt.tensors[name] for prompt in (self, *others)])
            tensors[name] = together.mean(0, dtype=np.float32)
        return type(self).of(self.family, tensors)

    def to_bytes(self) -> bytes:
        """A safetensors file that names the family and the key."""
        return save_tensors(dict(self.tensors), {"family": self.family, "key": self.key})

    @classmethod
    def from_bytes(cls, family: str, data: bytes) -> Self:
        """Raises ValueError for what `to_bytes` did not make: damaged, of another family, or something else."""
        try:
            prompt = cls.of(family, load_tensors(data))
            said = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"not a voice prompt ({type(error).__name__})") from None
        if said != {"family": family, "key": prompt.key}:
            raise ValueError("the content or family of this voice prompt does not match its header")
        return prompt


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive decode steps of one segment.

    codes: (n, *code_shape); frames: (n, *frame_shape), None where the codes themselves are the frames; kept: bool (n,),
    false where a step makes no sound (a stop token, surplus silence), None where all do; cut: no more codes may follow,
    though the model had not come to an end.
    """

    codes: np.ndarray
    frames: np.ndarray | None = None
    kept: np.ndarray | None = None
    cut: bool = False

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, part: slice) -> "Run":
        frames = None if self.frames is None else self.frames[part]
        return Run(self.codes[part], frames, None if self.kept is None else self.kept[part], self.cut)

    @property
    def spoken(self) -> np.ndarray:
        """The frames for the vocoder: (m, *frame_shape), m <= n."""
        frames = self.codes if self.frames is None else self.frames
        return frames if self.kept is None else frames[self.kept]


@dataclass(frozen=True, slots=True)
class GptRequest:
    """One segment for the GPT. `prefix` holds the codes that a listener already has: (N, *code_shape)."""

    segment: Segment
    prompt: VoicePrompt
    sampling: Sampling
    prefix: np.ndarray | None = None

    def resume(self, delivered: Sequence[Run]) -> Self:
        """The same request, to be continued after `delivered` (consecutive runs) on another replica."""
        runs = ([] if self.prefix is None else [self.prefix]) + [run.codes for run in delivered]
        return replace(self, prefix=np.concatenate(runs) if runs else None)


@dataclass(frozen=True, slots=True)
class VocoderChunk:
    """Frames with their context: (left + n + right, *frame_shape); n of them are turned into sound.

    first: index in the segment of frames[0]; state: what the segment's chunk before returned, None for the first;
    conditions: the segment's, in each chunk, because any replica may process it; controls: the request's, as in
    Sampling. speed: within the spec's `vocoder_paces`; timed: whether the attention is wanted. follows: in a batch, the
    earlier row whose chunk it continues, instead of a state. home: the name under which the replica keeps the segment's
    state, if that stays there (`FamilySpec.state_home`).
    cuts: frames of sound after which earlier chunks ended that this one repeats, so that its bits are theirs.
    Fewer than the spec's context at this speed on a side means that the segment begins or ends there.
    """

    frames: np.ndarray
    left: int
    right: int
    first: int
    prompt: VoicePrompt
    seed: int
    state: Mapping[str, np.ndarray] | None = None
    conditions: Mapping[str, np.ndarray] = field(default_factory=dict)
    controls: Mapping[str, Value] = field(default_factory=dict)
    speed: float = 1.0
    timed: bool = False
    follows: int | None = None
    home: str | None = None
    cuts: tuple[int, ...] = ()

    def resume(self, delivered: Sequence[object]) -> Self:
        """The chunk itself, because it is delivered whole or not at all."""
        return self


@dataclass(frozen=True, slots=True)
class VocodedChunk:
    """waveform: float32, in -1..1, n * samples_per_code samples at a speed of 1; state: for the next chunk of the
    segment.

    attention: float16 (M, T), how much each of M equal parts of the waveform is of each of the segment's T tokens, None
    if the chunk is not timed, or if the vocoder does not see them.
    """

    waveform: np.ndarray
    state: Mapping[str, np.ndarray]
    attention: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Consecutive chunks of a segment as one."""
        if len(parts) == 1:
            return parts[0]
        seen = [part.attention for part in parts if part.attention is not None]
        return cls(
            np.concatenate([part.waveform for part in parts]),
            parts[-1].state,
            np.concatenate(seen) if len(seen) == len(parts) else None,
        )

    def __len__(self) -> int:
        """1: a chunk is one value, delivered whole or not at all."""
        return 1
