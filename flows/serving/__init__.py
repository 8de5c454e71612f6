"""`roberta serve`: a Prefect server, a worker, and what they need to know of our pipelines.

address      where a server of ours is, for the other commands
children     the server and the worker as child processes
worker_process   the worker's own process
pool         the work pool and the automations that every installation has
form         the form of a deployment, made of the config's types
deployments  what there is to start and to schedule for one config
mending      states that nobody could tell the server, made true from the store
operator     retry, cancel, list
"""
