"""Config fields whose default and range the model package decides."""

from dataclasses import MISSING, fields
from typing import Any

from pydantic import Field


def recipe_field(recipe: type[Any], name: str, description: str) -> Any:
    """The config field of one value of a recipe of `roberta_model`: same default, same range.

    learning_rate: float = recipe_field(OptimizerRecipe, "learning_rate", "Peak learning rate.")
    """
    (known,) = (each for each in fields(recipe) if each.name == name)
    assert known.default is not MISSING, f"{recipe.__name__}.{name} has no default"
    return Field(known.default, description=description, **known.metadata)
