"""Scoring a masked language model: held-out loss, minimal pairs, filled examples."""
