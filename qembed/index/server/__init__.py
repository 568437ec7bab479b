"""Collections on a Qdrant server: where they are, how to talk to them, and what to do when that fails."""
