"""Frames in; boxes, scores, categories, RoI features and colour histograms out."""
