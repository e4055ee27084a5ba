"""The faces shown to people: REST, live events, touch screens."""
