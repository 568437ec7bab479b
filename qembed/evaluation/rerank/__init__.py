"""Rerankers of candidates."""
