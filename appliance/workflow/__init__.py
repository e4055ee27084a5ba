"""The verbs; the only room that combines the others."""
