"""The synthesisers that our voices are trained on: classic ones for the shipped weights, and Kokoro, a natural one."""
