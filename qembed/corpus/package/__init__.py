"""The public API documentation of an installed Python package, read from its source."""
