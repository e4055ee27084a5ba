"""Composition root of a single command; one module per group of commands."""
