"""Fixtures of models that come inside wheels."""

from wheel_fixtures import cache, embedder, in_catalog, index

__all__ = ["cache", "embedder", "in_catalog", "index"]
