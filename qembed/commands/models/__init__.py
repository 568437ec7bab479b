"""``qembed models``: the catalog of known models."""
