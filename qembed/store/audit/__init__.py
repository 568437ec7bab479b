"""Checks of a file of embeddings."""
