"""The stage engine: what makes a stage restartable, anywhere, by anybody.

    identity ledger units records   what there is to say: keys, balances, units, manifests
    files digests outside           files written whole; their digests, remembered; others' files
    store local_store remote_store  where artifacts lie; retries at servers, copies of theirs
    stores retrying copies
    lease attempt                   who may write: numbered leases, the fence before every word
    stage context catalog           what a stage is, is given, and has done so far
    computing executors             how a unit is computed; what waits, repeats and calls off
    pools dask_pool workforce       and where; the workers of a whole run
    runner forcing                  one stage from its key to its manifest; once more, when asked
    progress provenance             bars, log lines; who computed what, when, with what

Nothing in here knows what a document or a token is, and nothing knows Prefect.
"""
