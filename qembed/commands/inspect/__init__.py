"""``qembed inspect``: what a folder of chunks holds."""
