"""Nothing leaves before it is here; nothing goes before it is safe."""
