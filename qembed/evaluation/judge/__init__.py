"""A language model as a judge of results: what it is asked, and how its endpoint is called."""
