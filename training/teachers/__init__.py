"""The synthesisers that our voices learn from: the classic ones of the shipped weights, and Kokoro, a natural one."""
