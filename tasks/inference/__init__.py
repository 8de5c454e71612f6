"""Using a finished model: any Hugging Face RoBERTa folder, ours or anybody's."""
