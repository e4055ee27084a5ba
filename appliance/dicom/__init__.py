"""The only translator between facts and datasets."""
