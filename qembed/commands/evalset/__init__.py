"""``qembed evalset``: check, describe, convert and draft eval sets; merge judgements."""
