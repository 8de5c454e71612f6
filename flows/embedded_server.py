"""Settings for a run without a configured Prefect server: quiet, offline, patient.

They must be in the environment before Prefect is imported. Whatever the user has set wins.
"""

import os

# An embedded server starts in 6 to 13 s; Prefect gives up after 20 s, too early on a busy
# machine. The recorder's small batches keep the last task states from being lost at exit.
EMBEDDED = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    # Whole seconds: Prefect cuts a fraction to 0 and the server then spins on one core.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}


def prepare_prefect() -> None:
    """Set the defaults above; call it before anything imports Prefect."""
    for name, value in EMBEDDED.items():
        os.environ.setdefault(name, value)
