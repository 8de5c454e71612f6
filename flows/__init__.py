"""In what order, shown how: the Prefect flow and the `roberta` command."""
