"""``qembed report``: one HTML page per bench."""
