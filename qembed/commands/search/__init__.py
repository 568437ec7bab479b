"""``qembed search``: ask a file of embeddings a question."""
