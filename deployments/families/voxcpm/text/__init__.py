"""The text side of VoxCPM: the tokenizer, the optional normaliser, and the frontend."""
