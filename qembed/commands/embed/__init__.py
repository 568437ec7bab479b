"""``qembed embed``: chunks to vectors, with a summary and a manifest."""
