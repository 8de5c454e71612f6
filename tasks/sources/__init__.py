"""Where text comes from: files, http, the hub, and the docstrings at hand.

    files ──────────────▶ bytes ──▶ records (see tasks.formats) ──▶ documents file
    http ──▶ fetched ──▶
    hub, docstrings ──────────────▶ records ──▶

Everything streams: a unit holds one document and one Arrow batch, whatever a file's size.
"""
