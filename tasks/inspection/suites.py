"""What keeps the results of a suite while a store is pruned: no run refers to them.

They are kept for as long as the model that was asked is in the store, which its weights tell. Those
of a model from elsewhere stay too: nothing here tells whether they are still wanted.
"""

from tasks.engine.records import Artifact
from tasks.stages import stage_folder

_WEIGHTS = ".safetensors"
MODEL = "<model>/"  # how a suite's outside files call those of the folder; no task is called so


class Models:
    """The weights in a store's artifacts, those that stay and those that go."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._gone: set[str] = set()

    def note(self, stage: str, artifact: Artifact, *, removed: bool) -> None:
        """Tell of an artifact of a stage, and whether it goes."""
        for path, file in artifact.outputs:
            if path.endswith(_WEIGHTS):
                if removed:
                    self._gone.add(file.sha256)
                else:
                    self._kept[file.sha256] = f"{stage_folder(stage)}/{artifact.key}"

    def why(self, suite: Artifact, *, strangers: bool) -> tuple[str, bool]:
        """Why the results of a suite stay or go, and whether they go.

        Args:
            suite: The artifact.
            strangers: Whether those of models from elsewhere stay.
        """
        asked = {
            digest
            for label, digest in suite.manifest["externals"].items()
            if label.startswith(MODEL) and label.endswith(_WEIGHTS)
        }
        if asked and asked <= self._kept.keys():
            return f"they are of the model in {min(self._kept[each] for each in asked)}", False
        if asked and asked <= self._kept.keys() | self._gone:
            return "the model that was asked goes too", True
        told = "the model that was asked lies elsewhere"
        return (f"{told}; --keep 0 removes them", False) if strangers else (told, True)
