"""Pixels in, features out; knows nothing of Ray."""
