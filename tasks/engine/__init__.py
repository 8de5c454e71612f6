"""The stage engine: content keys, units, ledger, manifests, leases, store and executor.

Nothing in here knows what a document or a token is, and nothing knows Prefect.
"""
