"""`roberta serve`: a Prefect server, a worker, and what they need to know of our pipelines.

    address         where a server of ours is, for the other commands
    children        the server and the worker as child processes; worker_process: the latter's own
    pool            the work pool, and the automation that ends what has died
    deployments     what there is to start and to schedule for one config; form: their form
    notifications   who is told of what: an automation each
    mending         states that nobody could tell the server, made true from the store
    operator        list, retry, cancel; diagnosis: what `roberta doctor` says
    pages           the server's app with ours: reports, metrics; stores: of which stores

Of all this a run itself needs only the address, and its embedded server the pages.
"""
