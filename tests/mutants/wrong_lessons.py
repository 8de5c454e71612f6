"""Faults that make a fine-tuning learn, keep or tell something wrong."""

from planting import Mutant

_CHOOSING = ("tests/tasks/finetuning/test_choosing.py",)
_CHOICES = ("tests/tasks/finetuning/test_choices.py",)
_MEMORY = ("tests/roberta_model/training/test_memory.py",)
_LEARNING = ("tests/roberta_model/training/test_fine_tuning.py",)

MUTANTS = (
    Mutant(
        "the same dropout in every step",
        "roberta_model/training/fine_tuning.py",
        "seed_dropout(self.spec, step, number)",
        "seed_dropout(self.spec, 0, number)",
        _LEARNING,
    ),
    Mutant(
        "the last of equal epochs is kept",
        "tasks/finetuning/scoring.py",
        "found > before)",
        "found >= before)",
        _CHOOSING,
    ),
    Mutant(
        "one epoch more than patience",
        "tasks/finetuning/scoring.py",
        "for step in epochs) >= patience",
        "for step in epochs) > patience",
        _CHOOSING,
    ),
    Mutant(
        "no answer where one window has none",
        "roberta_model/inference/answers.py",
        "nothing = min(nothing, float(logits_T2[0].sum()))",
        "nothing = float(logits_T2[0].sum())",
        _CHOOSING,
    ),
    Mutant(
        "classes in the order of the data",
        "tasks/finetuning/labels.py",
        "names = tuple(sorted(counts, key=_order))",
        "names = tuple(counts)",
        _CHOOSING,
    ),
    Mutant(
        "half an answer is learnt as one",
        "roberta_model/inference/task_rows.py",
        " or stop > self.spans[-1][1]",
        "",
        _CHOOSING,
    ),
    Mutant(
        "other data, the old training",
        "tasks/finetuning/trying.py",
        '"examples": examples, ',
        "",
        _CHOOSING,
    ),
    Mutant(
        "the bag of words has read the answers",
        "tasks/finetuning/preparing.py",
        'encoder, items_of("train"), scored)',
        'encoder, items_of("dev"), scored)',
        _CHOOSING,
    ),
    Mutant(
        "a taught classifier forgets where to look",
        "tasks/finetuning/choices.py",
        '"pretrained" if taught else "uniform"',
        '"uniform"',
        _CHOICES,
    ),
    Mutant(
        "words fade as fast as they learn",
        "tasks/finetuning/trying.py",
        "min(1.0, choice.learning_rate / embedding_rate)",
        "1.0",
        _CHOICES,
    ),
    Mutant(
        "a wide encoder's words learn as a narrow one's",
        "tasks/finetuning/choices.py",
        'int(encoder["hidden_size"]) < PAPER_WIDTH',
        'int(encoder["hidden_size"]) <= PAPER_WIDTH',
        _CHOICES,
    ),
    Mutant(
        "no query is left, and no key",
        "roberta_model/training/start.py",
        "qkv.weight[: qkv.in_features] = 0",
        "qkv.weight[: 2 * qkv.in_features] = 0",
        _LEARNING,
    ),
    Mutant(
        "how <s> begins tells no trainings apart",
        "roberta_model/training/spec.py",
        '{"threads", "device", ',
        '{"threads", "device", "first_attention", ',
        ("tests/roberta_model/training/test_spec.py",),
    ),
    Mutant(
        "a span's loss counts twice",
        "roberta_model/training/fine_tuning.py",
        "return loss / 2, len(targets_R2)",
        "return loss, len(targets_R2)",
        _LEARNING,
    ),
    Mutant(
        "a word keeps the gradient of a step before",
        "roberta_model/training/step_sums.py",
        "            self._table.index_fill_(0, self._words_U, 0.0)",
        "            pass",
        _LEARNING,
        "only_the_words",
    ),
    Mutant(
        "each process learns words of its own",
        "roberta_model/training/step_sums.py",
        "mean_UD.add_(other.index_select(0, mine))",
        "pass",
        _LEARNING,
        "two_processes",
    ),
    Mutant(
        "half of the weights is updated by nobody",
        "roberta_model/training/flat.py",
        "if middle * num_parts // size == part:",
        "if middle * num_parts // size == part % (num_parts - 1 or 1):",
        _MEMORY,
    ),
    Mutant(
        "weights are read while others write them",
        "roberta_model/training/optimizer.py",
        "        self.flat.memory.wait()",
        "        pass",
        _MEMORY,
    ),
    Mutant(
        "a checkpoint has the moments of one process",
        "roberta_model/training/optimizer.py",
        "first = firsts[span.name] - span.start if is_vector else 0",
        "first = 0",
        _MEMORY,
    ),
    Mutant(
        "the norm is of this process's part",
        "roberta_model/training/step_sums.py",
        "norm = math.sqrt(float(self._squares.sum()))",
        "norm = math.sqrt(float(self._squares[self._memory.part]))",
        _MEMORY,
    ),
)
