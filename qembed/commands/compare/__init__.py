"""``qembed compare``: runs from anywhere, compared on one set of judgements."""
