"""Text processing of IndexTTS 1.x: normalisation, sentencepiece pieces, sentences. Needs no torch."""
