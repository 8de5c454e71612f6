"""Faults that a stranger to the tests chose, and that they let pass when he first did."""

from planting import Mutant

MUTANTS = (
    Mutant(
        "a team's model is pushed for all to see",
        "tasks/publishing/push.py",
        "api.create_repo(name, private=True, exist_ok=True)",
        "api.create_repo(name, exist_ok=True)",
        ("tests/tasks/publishing/test_push_to_the_hub.py",),
    ),
    Mutant(
        "a kept model forgets how it reads texts",
        "tasks/evaluation/opened.py",
        "known = place, special_tokens, ",
        "known = place, ",
        ("tests/tasks/evaluation/test_device.py",),
    ),
    Mutant(
        "other metric, the old metric's weights",
        "tasks/finetuning/trying.py",
        '"metric": metric, ',
        "",
        ("tests/tasks/finetuning/test_choosing.py",),
    ),
    Mutant(
        "a long text's later words learn the tags of its first",
        "roberta_model/inference/task_rows.py",
        "return WordRow(ids, list(range(first, first + count)), places[:count])",
        "return WordRow(ids, list(range(count)), places[:count])",
        ("tests/tasks/finetuning/test_what_is_learnt.py",),
    ),
    Mutant(
        "a right answer takes the token behind it along",
        "roberta_model/inference/task_rows.py",
        "if b > start and a < stop]",
        "if b > start and a <= stop]",
        ("tests/tasks/finetuning/test_choosing.py",),
    ),
    Mutant(
        "only the last documents file counts as read",
        "tasks/evaluation/contamination.py",
        "found.setdefault(int(length), set()).update(arrays[length].tolist())",
        "found[int(length)] = set(arrays[length].tolist())",
        ("tests/tasks/evaluation/test_contamination.py",),
        "what_any",
    ),
    Mutant(
        "verify believes what it remembers",
        "tasks/engine/records.py",
        "return unit.damaged(self.store, self.folder, anew=anew) + ([] if sound else [unit.path])",
        "return unit.damaged(self.store, self.folder) + ([] if sound else [unit.path])",
        ("tests/tasks/inspection/test_verify.py",),
        "rotten",
    ),
    Mutant(
        "the table of tasks tells dev's scores",
        "tasks/finetuning/downstream.py",
        'scored = found["scores"][part]',
        'scored = found["scores"]["dev"]',
        ("tests/tasks/publishing/test_taught.py",),
    ),
    Mutant(
        "the masking rate does not move",
        "roberta_model/data/batches.py",
        "rate = self.masking.recipe.rate_at(step, self.total_steps)",
        "rate = self.masking.recipe.rate_at(start, self.total_steps)",
        ("tests/roberta_model/data/test_batches.py",),
    ),
    Mutant(
        "a long row group is read again and again",
        "tasks/formats/columns.py",
        "yield from texts.slice(start, _ROWS_AT_ONCE).to_pylist()",
        "yield from texts.slice(start).to_pylist()",
        ("tests/tasks/formats/test_reading.py",),
        "long_batch",
    ),
    Mutant(
        "a fine-tuned model reads longer rows than it learnt",
        "roberta_model/inference/reading.py",
        "most = min(self.max_tokens, limit)",
        "most = limit",
        ("tests/roberta_model/inference/test_tags_and_answers.py",),
    ),
    Mutant(
        "each part of the held-out rows is told of all",
        "tasks/evaluation/held_out.py",
        "numbers = chosen_rows(packed.num_rows, max_rows, part)",
        "numbers = chosen_rows(packed.num_rows, max_rows)",
        ("tests/tasks/evaluation/test_origins.py",),
        "parts",
    ),
)
