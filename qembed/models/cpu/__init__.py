"""Layers of a model on a CPU: compiled kernels, oneDNN or torch, checked at load."""
