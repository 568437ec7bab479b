"""From queries to runs: BM25, fusion, candidate pools, the one order of a run, judged units."""
