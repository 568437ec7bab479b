"""Worker processes, one per device: the pool, what is said between processes, and how a worker survives."""
