"""Next door: a small hospital for developers; each peer can misbehave on request."""
