"""The new stage runs, is found again, and is planned."""

from pathlib import Path

from small_corpus import run_small, small_config, write_texts

from tasks.engine.runner import run_stage
from tasks.engine.stores import open_store
from tasks.inspection.estimate import add_estimates
from tasks.inspection.plan import make_plan
from tasks.stages import get_stage

words = get_stage("words")
folder = write_texts(
    Path("texts"), ["the first of the texts in here", "and the second of the texts"]
)
made = run_small(Path("store"), folder, "clean")
config, store = small_config(Path("store"), folder), open_store("store")
inputs = {"clean": made["clean"].artifact}
for state in ("done", "cached"):
    outcome = run_stage(words, config, store, inputs)
    assert outcome.state == state
assert outcome.artifact.manifest["headline"] == "8 different words"
assert outcome.artifact.file("words.tsv").local().read_text().startswith("the\t4\nof\t2\n")
plans = make_plan(config, store, None)
add_estimates(plans, config, store)
assert [plan.action for plan in plans if plan.name in ("clean", "words")] == ["cached", "cached"]
