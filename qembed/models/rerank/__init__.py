"""The models of rerankers: cross-encoders and late interaction."""
