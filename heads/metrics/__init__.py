"""How good predictions are, as the published benchmarks count it; needs torch alone.

Every average precision is made in two steps: a benchmark's rules turn predictions into a `Ranking`
(frame.py, video.py), and `average_precision` or `bootstrap` reads the ranking. All tensors are on
the CPU.
"""
