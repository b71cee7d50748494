"""Text to words and phones for English and Mandarin, shared by the frontends of the families. Needs no torch."""
