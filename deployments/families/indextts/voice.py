"""The voice encoder of IndexTTS: a reference recording to the GPT's 32 latents and the vocoder's speaker vector."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from deployments.contract.speech import Reference, VoicePrompt
from deployments.families.checkpoint import fill, part_of
from deployments.families.indextts.config import N_MELS, SAMPLE_RATE, GptConfig, IndexConfig
from deployments.families.indextts.conformer import Conformer
from deployments.families.indextts.ecapa import Ecapa, EcapaWidths, without_counters
from deployments.families.indextts.mel import LogMel
from deployments.families.indextts.perceiver import Perceiver
from deployments.families.resampling import resample


class Conditioner(nn.Module):
    """Log-mel (B, 100, T) -> latents (B, 32, model_dim)."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        module = config.condition_module
        self.conditioning_encoder = Conformer(N_MELS, module)
        self.perceiver_encoder = Perceiver(
            config.model_dim, module.output_size, module.attention_heads, module.perceiver_mult
        )

    def forward(self, mel: Tensor) -> Tensor:
        return self.perceiver_encoder(self.conditioning_encoder(mel.transpose(1, 2)))


class IndexVoiceEncoder:
    """Encodes one reference at a time in float32 on `device`, from all tensors of the GPT's and the vocoder's files.

    Raises ConfigError, which names the file, the tensor and the shapes, if they do not match the config.
    """

    def __init__(
        self,
        config: IndexConfig,
        gpt_tensors: Mapping[str, Tensor],
        vocoder_tensors: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        conditioner = Conditioner(config.gpt)
        for prefix, module in conditioner.named_children():
            fill(module, part_of(gpt_tensors, f"{prefix}."), config.gpt_checkpoint, prefix=f"{prefix}.")
        file, prefix = config.bigvgan_checkpoint, "speaker_encoder."
        tensors = without_counters(part_of(vocoder_tensors, prefix))
        speaker = Ecapa(EcapaWidths.of(tensors, file, prefix), config.bigvgan.speaker_embedding_dim)
        self.device = device
        self.log_mel = LogMel()
        self.conditioner = conditioner.eval().to(device)
        self.speaker = fill(speaker, tensors, file, prefix).eval().to(device)

    @torch.inference_mode()
    def encode(self, reference: Reference) -> VoicePrompt:
        """Takes the first waveform, 0.5 to 60 s. It is neither trimmed nor normalised. The transcript is ignored.

        Returns "latents" float32 (32, model_dim) and "speaker" float32 (speaker_dim,).
        """
        waveform, rate = reference.first
        samples = resample(np.asarray(waveform, np.float32), rate, SAMPLE_RATE)
        mel = self.log_mel(samples.unsqueeze(0)).to(self.device)  # (1, 100, T)
        latents, speaker = self.conditioner(mel)[0], self.speaker(mel)[0]
        arrays = {"latents": latents.cpu().numpy(), "speaker": speaker.cpu().numpy()}
        return VoicePrompt.of("indextts", arrays)
