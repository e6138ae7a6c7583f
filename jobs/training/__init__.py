"""How heads are trained on banks; no Ray inside."""
