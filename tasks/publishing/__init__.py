"""What a run hands to its users: the model folder, its card, the report and `latest`."""
