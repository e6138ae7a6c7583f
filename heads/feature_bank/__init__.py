"""Long-term feature banks: a clip is classified together with what happens around it."""
