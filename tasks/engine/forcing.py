"""Making an artifact anew although it is there: once for each time that somebody asks.

Who asks says so with a word of his own (a run its id). The word stays beside the artifact, so a
run that was cut off and is tried again goes on with what it has made since, and does not begin
once more.
"""

from tasks.engine.attempt import Attempt
from tasks.engine.records import MANIFEST
from tasks.engine.sealing import seal, unseal
from tasks.engine.store import Store
from tasks.engine.unit_records import UNITS

FORCED = "forced.json"
REPLACED = "replaced.json"


def is_forced(store: Store, folder: str, word: str | None) -> bool:
    """Whether what is there still has to go; without a word nothing has to."""
    if word is None:
        return False
    record = unseal(store.read(f"{folder}/{FORCED}"))
    return record is None or record["by"] != word


def begin_anew(attempt: Attempt, word: str) -> None:
    """Forget all that was made; the word is written last, when nothing is left."""
    for path in (MANIFEST, REPLACED, UNITS):
        attempt.remove(path)
    attempt.drop_lasting()
    attempt.write(FORCED, seal({"by": word}))
