"""Rows of a database become documents, once."""

import sqlite3

from small_corpus import texts_of
from tiny_pipeline import run_all

from tasks.config import Config

with sqlite3.connect("letters.db") as database:
    database.execute("create table letters (body text)")
    database.executemany("insert into letters values (?)", [("Dear all",), ("",), ("Yours",)])
database.close()
source = {"type": "sqlite", "file": "letters.db", "query": "select body from letters"}
config = Config.model_validate({"store": "store", "corpus": [source]})
made = run_all(config, "download")["download"].artifact
assert texts_of(made, "documents/") == ["Dear all", "Yours"]
assert made.ledger["documents"].dropped == {"empty": 1}
assert run_all(config, "download")["download"].state == "cached"
