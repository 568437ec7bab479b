"""What answers queries: embeddings, BM25, fusion, rerankers; opened, asked, timed and measured."""
