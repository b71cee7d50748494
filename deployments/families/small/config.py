"""Sizes and rates of the small family, which determine the shapes of its networks."""

from math import prod
from typing import Self

from pydantic import ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from deployments.families.small.phones import PHONE_SETS, PhoneSet, PhoneSetName

MIN_SECONDS, MAX_SECONDS = 1.0, 60.0  # of a reference; shorter ones are refused, longer ones truncated


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SmallConfig:
    """Constants of one trained set of weights, saved with them as JSON. Raises ValidationError."""

    languages: tuple[str, ...] = ("en", "zh")
    phone_set: PhoneSetName = "flite"

    # audio and features
    sample_rate: int = 16000  # Hz
    hop: int = 160  # samples per frame (10 ms)
    n_fft: int = 512
    n_mels: int = 80
    codes_per_second: int = 50
    fsq_levels: tuple[int, ...] = (5, 5, 5, 5, 4)

    # speaker encoder
    speaker_dim: int = 130  # size of the speaker vector, S
    speaker_hidden: int = 192

    # vocoder trunk
    vocoder_phones: bool = False  # whether the vocoder also gets the phone of each code, see n_units
    vocoder_dim: int = 256
    vocoder_hidden: int = 768
    # steps before and after its own that each block sees; steps after delay the first sound
    code_reach: tuple[tuple[int, int], ...] = ((2, 1), (2, 1), (2, 0))  # at codes_per_second
    frame_reach: tuple[tuple[int, int], ...] = ((3, 1), *4 * ((3, 0),))  # at sample_rate / hop
    f0_floor: float = 50.0  # Hz
    f0_ceil: float = 450.0  # Hz
    top_harmonic: float = 7900.0  # Hz; the pulse train has no harmonic above it
    phase_filter: bool = False  # whether the pulses' filter has a phase; otherwise each pulse is symmetric

    # GPT
    n_phones: int = len(PHONE_SETS["flite"].symbols)
    gpt_dim: int = 256
    gpt_layers: int = 6
    gpt_heads: int = 4
    gpt_ff: int = 1024
    phone_convs: int = 3
    phone_kernel: int = 5
    stay_rows: int = 40  # rows of the embedding of the steps spent at one phone
    max_stay: int = 36  # most steps at one phone; at half speed, a long final lasts 0.6 s
    max_phones: int = 320  # per segment
    max_codes: int = 1500  # per segment
    paces: tuple[float, float] = (0.5, 2.0)  # the range in training

    # sampling defaults
    temperature: float = 0.4
    top_k: int = 25

    @model_validator(mode="after")
    def _every_phone_has_a_row(self) -> Self:
        if self.n_phones < (needed := len(self.phones.symbols)):
            raise ValueError(f"n_phones is {self.n_phones}; the phone set {self.phone_set} has {needed}")
        return self

    @model_validator(mode="after")
    def _a_code_is_a_number_of_frames(self) -> Self:
        if min(self.sample_rate, self.hop, self.codes_per_second) < 1:
            raise ValueError("sample_rate, hop and codes_per_second must be at least 1")
        if self.sample_rate % (self.hop * self.codes_per_second):
            message = f"codes_per_second is {self.codes_per_second}; it must divide sample_rate / hop"
            raise ValueError(f"{message}, which is {self.sample_rate} / {self.hop}")
        return self

    @property
    def phones(self) -> PhoneSet:
        return PHONE_SETS[self.phone_set]

    @property
    def filters(self) -> int:
        """Numbers of each bin and frame: the magnitudes of two filters, and the phase of the first."""
        return 2 + self.phase_filter

    @property
    def n_codes(self) -> int:
        return prod(self.fsq_levels)

    @property
    def n_units(self) -> int:
        """A unit is what the vocoder gets for each code: the code, or with `vocoder_phones` phone * n_codes + code."""
        return self.n_codes * (self.n_phones if self.vocoder_phones else 1)

    @property
    def bos(self) -> int:
        """The id of the code before the first one."""
        return self.n_codes

    @property
    def frames_per_code(self) -> int:
        return self.sample_rate // self.hop // self.codes_per_second

    @property
    def samples_per_code(self) -> int:
        return self.sample_rate // self.codes_per_second

    @property
    def n_bins(self) -> int:
        return self.n_fft // 2 + 1

    @property
    def left_context(self) -> int:
        """Codes before a sample that it depends on: the trunk's reach, and 4 frames of overlap-add."""
        return self._trunk_reach(0, overlap=4)

    @property
    def right_context(self) -> int:
        """Codes after a sample that it depends on: the trunk's reach, and 5 frames (window, excitation, end of F0)."""
        return self._trunk_reach(1, overlap=5)

    def _trunk_reach(self, side: int, overlap: int) -> int:
        frames = sum(reach[side] for reach in self.frame_reach) + overlap
        return sum(reach[side] for reach in self.code_reach) - (-frames // self.frames_per_code)
