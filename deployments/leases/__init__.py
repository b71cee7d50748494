"""Leases: how a stage that takes one query at a time works on many requests at once. No ray, no torch."""
