"""The commands, by what they are for: run the pipeline, look at it, use what it made."""
