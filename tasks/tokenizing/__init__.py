"""Byte-level BPE: training it, checking it, and using it so that text cannot inject tokens."""
