"""The check of a source: what is in it, what it promises, and how far it has moved."""
