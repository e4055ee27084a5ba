"""Us speaking to the hospital."""
