"""Exams handed over on discs and sticks."""
