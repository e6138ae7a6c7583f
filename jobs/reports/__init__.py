"""What a store holds as a page for a browser: one file, no network."""
