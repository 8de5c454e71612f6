"""What the Prefect server is told of a run beside its states, without ever holding up the run.

    stage ──tell(slot, call)──▶ newest of each slot ──one thread──▶ server
                                                         │ a call failed
                                                         ▼
                                             none for a while, then again

A slot is one thing to be told, such as an artifact; what it said before is overwritten, so there
is never more to catch up on than there are slots. What is shown is made in the thread as well.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

log = logging.getLogger(__name__)

CALL_SECONDS = 5.0
REST_SECONDS = 15.0
_HURRIED_SECONDS = 2.0  # whoever interrupts a run is waiting
_MOST_SLOTS = 200

Call = Callable[[SyncPrefectClient], object]


@dataclass(frozen=True)
class Shown:
    """What an artifact shows; `data` may be a function that makes it when it is sent."""

    kind: str
    data: Any
    description: str


class Teller:
    """Tells the server in the background; a context manager that waits a little at its end.

    Args:
        run: The flow run that artifacts belong to.
        close_seconds: How long the end waits for what is still to be told.
        rest_seconds: How long nothing is sent after a call that failed.
    """

    def __init__(
        self, run: UUID, close_seconds: float = 2 * CALL_SECONDS, rest_seconds: float = REST_SECONDS
    ) -> None:
        self.run, self.close_seconds, self.rest_seconds = run, close_seconds, rest_seconds
        self._waiting: dict[str, Call] = {}
        self._under_way: str | None = None
        self._refused: set[str] = set()
        self._artifacts: dict[str, UUID] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        # Retries would keep a call of no more use alive; the settings are those of the flow run.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._work,), name="teller", daemon=True
        )

    def tell(self, slot: str, call: Call) -> None:
        """Have a call made soon, in place of one of this slot that still waits."""
        with self._changed:
            if slot not in self._waiting and len(self._waiting) >= _MOST_SLOTS:
                self._refused.add(slot)
                return
            self._refused.discard(slot)
            self._waiting[slot] = call
            self._changed.notify()

    def show(self, key: str, shown: Shown, task_run: UUID | None = None) -> None:
        """Create the artifact of that key, or show something else in it."""
        self.tell(key, partial(self._show, key, shown, task_run))

    def missed(self) -> list[str]:
        """The slots whose newest news the server has not heard."""
        with self._changed:
            under_way = [] if self._under_way is None else [self._under_way]
            return sorted({*self._waiting, *self._refused, *under_way})

    def __enter__(self) -> "Teller":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *problem: object) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        self._thread.join(_HURRIED_SECONDS if is_interrupted else self.close_seconds)

    def _work(self) -> None:
        """Make the calls, one after the other."""
        with get_client(httpx_settings={"timeout": CALL_SECONDS}, sync_client=True) as client:
            rest_until = 0.0
            while (next_call := self._next(rest_until)) is not None:
                slot, call = next_call
                heard = self._try(slot, call, client)
                with self._changed:
                    self._under_way = None
                    if not heard:
                        self._waiting.setdefault(slot, call)
                        if self._is_closing:
                            return
                rest_until = 0.0 if heard else time.monotonic() + self.rest_seconds

    def _next(self, rest_until: float) -> tuple[str, Call] | None:
        """Wait for something to tell, and for the end of a rest; None: all is told."""
        with self._changed:
            while not self._is_closing:
                rest = rest_until - time.monotonic()
                if self._waiting and rest <= 0:
                    break
                self._changed.wait(rest if rest > 0 else None)
            if not self._waiting:
                return None
            self._under_way = next(iter(self._waiting))
            return self._under_way, self._waiting.pop(self._under_way)

    def _try(self, slot: str, call: Call, client: SyncPrefectClient) -> bool:
        try:
            call(client)
        except Exception as problem:
            log.debug("the Prefect server did not hear of %s: %r", slot, problem)
            return False
        return True

    def _show(
        self, key: str, shown: Shown, task_run: UUID | None, client: SyncPrefectClient
    ) -> None:
        facts: Mapping[str, Any] = {"data": _made(key, shown), "description": shown.description}
        if key in self._artifacts:
            client.update_artifact(self._artifacts[key], ArtifactUpdate(**facts))
            return
        made = ArtifactCreate(
            key=key, type=shown.kind, flow_run_id=self.run, task_run_id=task_run, **facts
        )
        self._artifacts[key] = client.create_artifact(made).id


def _made(key: str, shown: Shown) -> Any:
    """The data, made now; a page that cannot be made says so, and is no fault of the server's."""
    if not callable(shown.data):
        return shown.data
    try:
        return shown.data()
    except Exception as problem:
        log.warning("the page %s could not be made: %r", key, problem)
        return "This page could not be made; the log says why.\n"
