"""``qembed upload``: embeddings into a collection on a Qdrant server."""
