"""``qembed verify``: embed a sample again with a reference and compare."""
