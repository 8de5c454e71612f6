"""The training loop, what it is told, and what it keeps: for any number of processes."""
