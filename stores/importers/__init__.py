"""Public annotation files as label sets: a file for each format, each with one function `read`."""
