"""Pages for people who read results: HTML and Markdown from what ``bench``, ``embed`` and ``audit`` stored.

Nothing here computes a score: numbers are read, put into words, tables and charts, and counted. Modules are
imported by their own name.
"""
