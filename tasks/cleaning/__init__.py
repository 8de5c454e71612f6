"""What makes a document clean: repair, filters with reasons, repeats, the split."""
