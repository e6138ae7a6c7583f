"""Care of a store: verify, compact, collect, compare, migrate."""
