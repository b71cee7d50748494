"""The vocoder's half of the engine: chunks of many segments share a call."""
