"""What the columns are called that answers bring, and what is said where one is there already."""

from roberta_model.recipe import TaskName

PREFIX = "predicted_"


def answer_columns(task: TaskName) -> set[str]:
    """What the columns of a task's answers are called, but for those of scores."""
    named = {"regress": ("value",), "tag": ("tags",), "qa": ("answer", "start")}
    return {f"{PREFIX}{name}" for name in named.get(task, ("label", "labels"))}


def answer_would_replace(where: str, column: str) -> str:
    """The refusal of a row that has a column of an answer's name."""
    return (
        f"{where}: there is a column {column!r} already, which the answer would replace. Rename or "
        "remove it."
    )
