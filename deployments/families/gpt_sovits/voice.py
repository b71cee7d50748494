"""The voice encoder: a reference recording, its transcript, and others for the timbre, to a voice prompt.

phones (P,), bert (P, F)   of the transcript
codes (N,)                 of the recording, which the GPT continues
ge (G,)                    the timbre, for the decoder
mel (100, T)               v3 and v4 only: what the decoder continues

Without a transcript, phones and codes are empty ("reference-free"): the GPT then speaks from the text alone.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deployments.contract.errors import InvalidInput
from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.gpt_sovits.cfm.layout import LAYOUTS
from deployments.families.gpt_sovits.cfm.mel import reference_mel
from deployments.families.gpt_sovits.checkpoints import SovitsFile
from deployments.families.gpt_sovits.eres2net import Eres2Net
from deployments.families.gpt_sovits.hubert import Hubert
from deployments.families.gpt_sovits.quantizer import Quantizer
from deployments.families.gpt_sovits.spectrum import (
    CONTENT_RATE,
    TAIL,
    content_samples,
    filter_banks,
    spectrogram,
    timbre_samples,
)
from deployments.families.gpt_sovits.vits.style import StyleEncoder
from deployments.families.gpt_sovits.weights import linear_of, loaded

MIN_SECONDS, MAX_SECONDS = 3.0, 10.0


class ReadsTranscripts(Protocol):
    """The part of the frontend that a voice needs."""

    def prompt(self, text: str, language: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Phone ids int64 (P,) and their BERT features float32 (P, F)."""
        ...


class Timbre(nn.Module):
    """One recording's spectrogram (B, 1025, T) and, in v2Pro and v2ProPlus, its speaker embedding (B, E) -> (B, G)."""

    def __init__(self, sovits: SovitsFile, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.ref_enc = loaded(StyleEncoder, tensors, sovits.name, "ref_enc.")
        self.sv_emb = self.prelu = None
        if sovits.pro:
            self.sv_emb = loaded(linear_of, tensors, sovits.name, "sv_emb.")
            self.prelu = loaded(lambda shapes: nn.PReLU(*shapes["weight"]), tensors, sovits.name, "prelu.")

    def forward(self, spectrum: Tensor, speaker: Tensor | None) -> Tensor:
        style = self.ref_enc(spectrum)
        if self.sv_emb is None or self.prelu is None:
            return style
        return self.prelu(style + self.sv_emb(speaker))


class GptSovitsVoiceEncoder:
    """Implements VoiceEncoder, in float32 on `device`.

    speaker: the network of v2Pro and v2ProPlus, None for other versions. Raises CheckpointError if tensors are missing
    or do not fit together.
    """

    def __init__(
        self,
        sovits: SovitsFile,
        tensors: Mapping[str, Tensor],
        hubert: Hubert,
        speaker: Eres2Net | None,
        frontend: ReadsTranscripts,
        device: torch.device,
    ) -> None:
        self.sovits, self.frontend, self.device = sovits, frontend, device
        self.hubert = hubert.eval().to(device)
        self.speaker = None if speaker is None else speaker.eval().to(device)
        self.quantizer = Quantizer.load(tensors, sovits.name).eval().to(device)
        self.timbre = Timbre(sovits, tensors).eval().to(device)

    @torch.inference_mode()
    def encode(self, reference: Reference) -> VoicePrompt:
        """The first recording must be 3 to 10 s long. The others add to the timbre alone, which is their mean;
        v3 and v4 ignore them, because their decoder continues the first.

        Raises InvalidInput (param "reference_audio" or "reference_text").
        """
        waveform, rate = reference.first
        samples = content_samples(waveform, rate)
        seconds = len(samples) / CONTENT_RATE
        if not MIN_SECONDS <= seconds <= MAX_SECONDS:
            message = f"it is {seconds:.2f} s long; this model needs {MIN_SECONDS:g} to {MAX_SECONDS:g} s"
            raise InvalidInput(f"Invalid 'reference_audio': {message}.", param="reference_audio")
        arrays = self._spoken(samples, reference)
        layout = LAYOUTS.get(self.sovits.version)
        timbres = reference.waveforms[:1] if layout else reference.waveforms
        arrays["ge"] = torch.cat([self._timbre(*recording) for recording in timbres]).mean(0).cpu().numpy()
        if layout:
            arrays["mel"] = reference_mel(waveform, rate, layout)
        return VoicePrompt.of("gpt_sovits", arrays)

    def _spoken(self, samples: Tensor, reference: Reference) -> dict[str, np.ndarray]:
        """phones, bert and codes."""
        if not (reference.transcript or "").strip():
            none = np.zeros(0, np.int64)
            return {"phones": none, "bert": np.zeros((0, 0), np.float32), "codes": none}
        assert reference.transcript is not None
        phones, bert = self.frontend.prompt(reference.transcript, reference.language)
        features = self.hubert(F.pad(samples, (0, TAIL))[None].to(self.device))
        codes = self.quantizer(features)[0].cpu().numpy()
        return {"phones": phones, "bert": bert if bert.any() else bert[:0], "codes": codes}

    def _timbre(self, waveform: np.ndarray, rate: int) -> Tensor:
        """(1, G)"""
        samples = timbre_samples(waveform, rate)
        speaker = None
        if self.speaker is not None:
            speaker = self.speaker(filter_banks(samples)[None].to(self.device))
        return self.timbre(spectrogram(samples)[None].to(self.device), speaker)
