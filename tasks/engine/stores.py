"""Opening the store at a URL: a folder, or an object store."""

from tasks.config.addresses import redacted, secret_parameter, user_in
from tasks.engine.local_store import LocalStore, local_root
from tasks.engine.store import Store
from tasks.errors import UserError


def open_store(url: str) -> Store:
    """The store at a URL, of the kind that the URL asks for.

    Raises:
        UserError: no driver for it is installed, or it holds a secret.
    """
    if "://" in url and (":" in (user_in(url) or "") or secret_parameter(url) is not None):
        raise UserError(
            f"store: {redacted(url)} carries a secret, which would end up in records that others "
            "can read. Take it out of the address, and set it as the store's own driver reads it: "
            "for S3 in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in its credentials file."
        )
    if local_root(url) is not None:
        return LocalStore(url)
    from tasks.engine.remote_store import RemoteStore  # brings fsspec and more with it

    return RemoteStore(url)
