"""Looking at a store: plan, explain, status, ledger, runs; and keeping it: verify, prune."""
