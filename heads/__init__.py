"""Features in, predictions out; needs torch alone."""
