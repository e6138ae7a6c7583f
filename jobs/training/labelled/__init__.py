"""Label sets of a store as samples to learn from and as tests; a file for each kind of task."""
