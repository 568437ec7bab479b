"""``qembed plan``: memory, batches, time and disk of a run, before it runs."""
