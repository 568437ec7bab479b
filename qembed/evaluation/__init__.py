"""Is it better, by how much, and can we tell: eval sets, runs, rerankers, measures, statistics.

Import the modules themselves; pandas, scipy and ranx are imported where they are used.
"""
