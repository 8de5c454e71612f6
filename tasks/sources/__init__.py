"""Where text comes from: files, http, the hub, and the docstrings at hand.

    files ──────────────▶ bytes ──▶ decompressed ──▶ members ──▶ records ──▶ documents file
    http ──▶ fetched ──▶
    hub, docs ─────────────────────────────────────▶ records ──▶

Everything streams: a unit holds one document and one Arrow batch, whatever a file's size.
"""
