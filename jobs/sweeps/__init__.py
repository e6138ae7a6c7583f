"""Sweeps: many trainings that differ in what is compared, and the table of them."""
