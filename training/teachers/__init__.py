"""Kokoro, the natural synthesiser that the voice is trained on, and the corpus that it speaks."""
