"""A real PostgreSQL server on a free port, of the Debian packages where they are installed."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command import free_port

_START_SECONDS = 60


def find_programs() -> Path | None:
    """The folder of initdb and postgres of the newest version, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def find_user() -> str | None:
    """Whom PostgreSQL may run as: ourselves, or, as root whom it refuses, its own user."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A new, empty database; its URL for SQLAlchemy's asyncpg."""
    programs, user = find_programs(), find_user()
    assert programs is not None
    assert user is not None
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    if os.geteuid() == 0:
        shutil.chown(folder, user)
        for parent in folder.parents[:4]:  # up to what pytest keeps from other users
            parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    log = (folder / "postgres.log").open("w")
    options: dict[str, Any] = {"user": user, "stdout": log, "stderr": log, "cwd": folder}
    initdb = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "prefect",
        "--auth=trust",
        "-E",
        "UTF8",
    ]
    server = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    subprocess.run(initdb, check=True, **options)
    process = subprocess.Popen([*server, "-h", "127.0.0.1"], **options)
    try:
        end = time.monotonic() + _START_SECONDS
        ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert process.poll() is None, (folder / "postgres.log").read_text()
            assert time.monotonic() < end, "PostgreSQL did not start"
            time.sleep(0.2)
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)
        log.close()
