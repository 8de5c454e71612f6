"""The one error of using a model: what was asked for cannot be had of this folder or text."""


class UnusableError(ValueError):
    """A folder, or a text, that the model cannot be used with; the message is one paragraph."""
