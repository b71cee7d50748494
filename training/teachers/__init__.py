"""Kokoro, the natural synthesiser that the next voice is trained on, and the corpus that it speaks."""
