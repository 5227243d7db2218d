"""Flax networks that read a table, what they read of it, and how they learn."""
