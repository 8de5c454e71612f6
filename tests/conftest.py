"""What all tests share: one thread a process, a store in a temporary folder, real data."""

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from scheduling import LongestFirst, longest_first

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A shell starts what goes to the background with Ctrl-C ignored, and so would be what is stopped.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst | None:
    """See `scheduling`; xdist's own where another way to give out tests is asked for."""
    return LongestFirst(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See `scheduling`; without several workers the tests keep their order."""
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Every worker reads all the tests: rewritten ones are kept, and nothing there is garbage."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        sys.dont_write_bytecode = before


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """A training of a test before has them flushed to zero, for good: hypothesis refuses that."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_flush_denormal(False)


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real corpora and evaluation sets that lie beside the checkout, where there are any."""
    if not SHARED.is_dir():
        pytest.skip("the real corpora are not beside this checkout (shared/data)")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing a test fetches stays on the machine."""
    before = os.environ.get("ROBERTA_CACHE")
    os.environ["ROBERTA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ROBERTA_CACHE"]
    else:
        os.environ["ROBERTA_CACHE"] = before
