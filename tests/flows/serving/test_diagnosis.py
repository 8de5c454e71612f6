"""`roberta doctor` says what is wrong with a server, instead of failing with it."""

from types import SimpleNamespace
from typing import Any

from prefect.exceptions import ObjectNotFound

from flows.serving.diagnosis import _server


def test_a_server_that_nothing_was_deployed_to_has_no_workers() -> None:
    """It has no pool either, which is no reason for a traceback."""

    def no_pool(*_: Any, **__: Any) -> None:
        raise ObjectNotFound(KeyError("roberta"))

    client: Any = SimpleNamespace(
        api_url="http://here/api", read_flow_runs=lambda **_: [], request=no_pool
    )
    concerns: list[str] = []
    assert _server(client, [], concerns)["workers"] == []
    assert concerns == ["no worker is at work: `roberta serve` starts one"]
