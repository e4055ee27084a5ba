"""One file per kind of picture source; each is imported only when it is opened."""
