"""Fine-tuning: labelled data in, a model for one task out, with scores that can be trusted."""
