"""What a run is working on just now: to be left alone, and no damage.

Under a live lease files and units come and go. Whoever wants to change an artifact folder takes
its lease first.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tasks.engine.lease import Lease, is_dead
from tasks.engine.store import Store


def live_owner(store: Store, folder: str) -> Mapping[str, Any] | None:
    """Who works in an artifact folder, as far as can be told; None when nobody does."""
    owner = Lease(store, folder).current()
    return None if owner is None or is_dead(owner) else owner


class _InUseError(Exception):
    """Somebody holds the lease that we wanted at once."""


def _refuse(owner: Mapping[str, Any]) -> None:
    raise _InUseError


@contextmanager
def lease_taken(store: Store, folder: str) -> Iterator[bool]:
    """Inside the block: True, and the folder's lease is ours; False when a run has it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(Lease(store, folder).held(_refuse))
        except _InUseError:
            yield False
        else:
            yield True
