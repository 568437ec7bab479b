"""Embed the chunks of the Qdrant ecosystem on Kaggle with 2 x T4: paste this into one cell, and run it.

The notebook needs the chunks as input, the qembed wheel installed (docs/kaggle.md), and internet.
"""

from pathlib import Path

from qembed import EmbedOptions, audit, embed, kaggle
from qembed.models import EncoderOptions
from qembed.terminal.progress import make_progress

EMBEDDING_MODEL = "nomic-ai/nomic-embed-code"
DATASET = "qdrant_ecosystem"  # name of the input, or of the folder in it
DEVICE = "auto"  # every GPU
PRECISION = "auto"  # what `qembed plan` chooses
TIME_LIMIT_HOURS = 11.0  # a session ends after 12; what is finished is kept, and the next run resumes


def main() -> Path:
    """Embed, audit and pack; returns the archive to download."""
    options = EmbedOptions(
        model=EMBEDDING_MODEL,
        encoder=EncoderOptions(device=DEVICE, precision=PRECISION),
        time_limit_seconds=kaggle.time_limit(TIME_LIMIT_HOURS * 3600),
    )
    progress = make_progress()
    made = embed(kaggle.find_input(DATASET), kaggle.working(), options, progress=progress)
    problems = audit(made.files.embeddings).findings
    archive = kaggle.zip_output(made.files.existing())
    print(f"{made.summary['total_embeddings']:,} vectors of {made.summary['vector_dimension']} dimensions")
    print(f"{len(problems)} findings of the audit; download {archive}")
    return archive


if __name__ == "__main__":
    main()
