"""Audio files: streaming encoders, and a decoder for untrusted input."""

from serve_app.audio.decode import decode_recording
from serve_app.audio.encode import (
    MEDIA_TYPES,
    OUTPUT_RATE,
    RATES,
    Encoder,
    check_rate,
    encode_wav,
    open_encoder,
    to_int16,
)

__all__ = [
    "MEDIA_TYPES",
    "OUTPUT_RATE",
    "RATES",
    "Encoder",
    "check_rate",
    "decode_recording",
    "encode_wav",
    "open_encoder",
    "to_int16",
]
