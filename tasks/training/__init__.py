"""Owning the training processes: how they are started, watched, stopped and resumed."""
