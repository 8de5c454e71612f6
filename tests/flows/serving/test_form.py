"""What a form may change, as the server checks it."""

from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import validate

from flows.pipeline import pipeline
from flows.serving.form import as_parameter, form_of
from tasks.config import Config

HEADERS = {"Authorization": "CORPUS_TOKEN"}


def deployed(**source: Any) -> Config:
    corpus = [{"type": "http", "urls": ["https://example.org/a.txt"], **source}]
    return Config.model_validate({"corpus": corpus})


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [({}, True), (HEADERS, True), ({"X": "PREFECT_API_AUTH_STRING"}, False)],
)
def test_a_form_cannot_have_the_workers_secrets_sent_to_an_address(
    headers: dict[str, str], is_allowed: bool
) -> None:
    """A header takes its value from any variable: passwords of the server and of the store."""
    schema = form_of(pipeline, deployed(headers_from_env=HEADERS))
    parameters = {"config": as_parameter(deployed(headers_from_env=headers))}
    problems = validate(parameters, schema, raise_on_error=False, preprocess=False)
    assert (not problems) == is_allowed, problems
