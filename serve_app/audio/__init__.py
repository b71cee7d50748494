"""Audio files: streaming encoders, and a decoder for untrusted input."""

from serve_app.audio.decode import decode_recording
from serve_app.audio.encode import MEDIA_TYPES, OUTPUT_RATE, Encoder, encode_wav, open_encoder, to_int16

__all__ = [
    "MEDIA_TYPES",
    "OUTPUT_RATE",
    "Encoder",
    "decode_recording",
    "encode_wav",
    "open_encoder",
    "to_int16",
]
