"""The device: which one, its one thread, and its memory."""
