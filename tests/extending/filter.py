"""Tables of figures go, and the ledger says why."""

from pathlib import Path

from small_corpus import run_small, write_texts

texts = ["A sentence of some length, with words.", "Year 1990: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11."]
folder = write_texts(Path("texts"), texts)
for limit, dropped in ((None, {}), (0.3, {"digits": 1})):
    made = run_small(Path("store"), folder, "clean", clean={"filters": {"max_digit_share": limit}})
    assert made["clean"].artifact.ledger["documents"].dropped == dropped
