"""Faults by which secrets would leak, others get in, or a run do what nobody asked for."""

from planting import Mutant

MUTANTS = (
    Mutant(
        "the report escapes nothing",
        "tasks/publishing/templates.py",
        'autoescape=lambda name: name is None or name.endswith(".html.j2"),',
        "autoescape=False,",
        ("tests/tasks/publishing/test_report.py",),
    ),
    Mutant(
        "a run's own server listens everywhere",
        "flows/server_process.py",
        'def main(host: str = "127.0.0.1"',
        'def main(host: str = "0.0.0.0"',
        ("tests/flows/test_surroundings.py",),
        "own_server",
    ),
    Mutant(
        "a run's own server asks for no password",
        "flows/embedded_server.py",
        '        "PREFECT_SERVER_API_AUTH_STRING": password,\n',
        "",
        ("tests/flows/test_surroundings.py",),
        "own_server",
    ),
    Mutant(
        "names steer the terminal",
        "flows/terminal.py",
        "    return _UNSAFE.sub(_escape, text)",
        "    return text",
        ("tests/flows/test_terminal.py",),
    ),
    Mutant(
        "secrets follow a redirect to plain http",
        "tasks/sources/http_answers.py",
        'if access.has_secrets and first.scheme == "https" and place.scheme == "http":',
        'if access.has_secrets and first.scheme == "http" and place.scheme == "https":',
        ("tests/tasks/sources/test_http_unfriendly.py",),
    ),
    Mutant(
        "a secret that is repeated is known by one spelling",
        "tasks/sources/http_answers.py",
        '(str, partial(quote, safe=""), quote_plus)',
        "(str,)",
        ("tests/tasks/sources/test_http.py",),
        "secret",
    ),
    Mutant(
        "secret headers follow to another host",
        "tasks/sources/http_answers.py",
        "**(access.headers if at_home else {})",
        "**access.headers",
        ("tests/tasks/sources/test_http.py",),
        "secret",
    ),
    Mutant(
        "export copies what links lead out to",
        "tasks/publishing/export.py",
        "    check_links(model, files)\n",
        "",
        ("tests/tasks/publishing/test_export.py",),
    ),
    Mutant(
        "any password opens the report",
        "flows/serving/pages.py",
        "if hmac.compare_digest(said.encode(), wanted.encode()):",
        "if said:",
        ("tests/flows/serving/test_pages.py",),
    ),
    Mutant(
        "other sites' pages may use a server without a password",
        "flows/serving/callers.py",
        "return name in _OWN_NAMES and asking == host",
        "return name in _OWN_NAMES",
        ("tests/flows/serving/test_callers.py",),
        "sites",
    ),
    Mutant(
        "training processes meet where anybody may write",
        "tasks/training/launch.py",
        '["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", _MEETING, _new_file()]',
        '["--standalone", "--rdzv-conf", "read_timeout=60", _MEETING, _new_file()]',
        ("tests/roberta_model/training/test_two_processes.py",),
        "stop_reaches",
    ),
)
