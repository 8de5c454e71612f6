"""The one exception tree. What a user reads comes from here.

    RobertaError
    ├── UserError    the config, a path or an argument is wrong     exit code 2
    └── StageError   a stage could not finish; what is done is kept  exit code 1
        └── TransientError   what it waited for may come back by itself

Every message is one clear paragraph: what failed, where (file, record, key), what to do.
"""


class RobertaError(Exception):
    """Anything we raise on purpose; its text is written for the person at the keyboard."""


class UserError(RobertaError):
    """The config, a path, an argument or the data as configured is wrong."""


class StageError(RobertaError):
    """A stage failed although the request was right: a server, a disk, a dead process."""


class TransientError(StageError):
    """A stage failed for want of something that may come back by itself: a server, a worker.

    Whoever runs unattended tries again after a while; see `tasks.prefect_task`.
    """
