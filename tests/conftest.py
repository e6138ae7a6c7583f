"""Settings that hold for every test."""

from hypothesis import settings

# A shared machine may pause anywhere: an example that took long says nothing about the code.
settings.register_profile("reelbank", deadline=None)
settings.load_profile("reelbank")
