"""A modality with nobody in front of it."""
