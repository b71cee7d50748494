"""Text to words and phones, English and Mandarin: what the frontends of several families share. No torch."""
