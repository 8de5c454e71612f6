"""Packed rows on disk become masked batches, in a fixed order, with no state to lose."""
