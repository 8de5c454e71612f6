"""Looking at a store without changing it: plan, explain, status, verify, ledger, runs."""
