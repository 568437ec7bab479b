"""Eval sets on disk: read, checked, described, drafted."""
