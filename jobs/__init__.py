"""What a person runs, and where it runs; only the ray_*.py files import Ray."""
