"""A store's content in the formats of other tools; each file writes one."""
