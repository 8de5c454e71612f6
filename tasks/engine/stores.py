"""Opening the store at a URL: a folder, or an object store."""

from tasks.engine.local_store import LocalStore, local_root
from tasks.engine.store import Store


def open_store(url: str) -> Store:
    """The store at a URL, of the kind that the URL asks for.

    Raises:
        UserError: no driver for it is installed.
    """
    if local_root(url) is not None:
        return LocalStore(url)
    from tasks.engine.remote_store import RemoteStore  # brings fsspec and more with it

    return RemoteStore(url)
