"""What makes a document clean: repair, filters with reasons, duplicates, the split."""
