"""One choice, tried: trained and scored on dev epoch by epoch, ended when it gets no better.

Each epoch's scores, and in the end the best epoch's weights, are units keyed by the training: so
whoever goes on knows what was found, though the checkpoints are let go but the best and the last.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from roberta_model.training.spec import FineTuningSpec
from tasks.config import LaunchConfig
from tasks.config.downstream import FineTuningConfig, Metric
from tasks.engine.identity import digest_of
from tasks.engine.stage import StageContext
from tasks.engine.units import StoredFile, Unit, UnitReport, UnitResult, UnitWork
from tasks.evaluation.device import Device
from tasks.finetuning.choices import adapted_to
from tasks.finetuning.dev_scores import score_dev, write_json
from tasks.finetuning.plan import Choice, Files, Found, Job, Tried
from tasks.finetuning.scoring import best_epoch, is_better, is_enough
from tasks.training.checkpoint_units import Checkpoints, step_number
from tasks.training.launch import for_small_steps, threads_per_process
from tasks.training.running import adopt, train_to

_HEADS = {
    "classify": "sequence",
    "pair": "sequence",
    "regress": "sequence",
    "tag": "tokens",
    "qa": "span",
}
_WEIGHTS = ("config.json", "model.safetensors")


def try_choice(
    context: StageContext[Any],
    job: Job,
    found: Found,
    choice: Choice,
    before: float | None,
    place: str = "",
) -> tuple[Tried, UnitResult | None]:
    """Train with a choice; its scores, and its best weights. `place`: which of how many it is.

    The weights are None where the scores are known from an earlier run and are no better than
    what was found before: then nobody needs them.
    """
    spec = spec_of(job.settings, found, choice, job.config)
    training = identity_of(spec, found.examples, job.encoder)
    return _Trial(context, job, found, choice, spec, training, place).run(before)


def identity_of(spec: FineTuningSpec, examples: StoredFile, encoder: Files) -> str:
    """What tells a training from every other: all that its weights depend on."""
    return digest_of({"recipe": spec.identity(), "examples": examples, "initial": encoder})


def scoring_of(job: Job, found: Found) -> dict[str, Any]:
    """All that a checkpoint's scores on dev depend on besides its weights.

    How long texts are read is part of it: dev may have longer ones than the training has.
    """
    return {
        "dev": job.files["dev"],
        "format": job.settings.format,
        "reading": vars(found.reading),
        "labels": vars(found.labels),
        "tokenizer": job.tokenizer,
    }


def judgement(
    training: str, scoring: Mapping[str, Any], metric: Metric, patience: int
) -> dict[str, Any]:
    """All that decides which epoch's weights are kept: they are known under this alone."""
    return {"training": training, "scoring": scoring, "metric": metric, "patience": patience}


def spec_of(
    settings: FineTuningConfig, found: Found, choice: Choice, encoder: Mapping[str, Any]
) -> FineTuningSpec:
    """The training of a choice, but for where it runs; of the encoder its `config.json`."""
    rows, labels = int(found.examples.rows or 0), found.labels
    adapted = adapted_to(encoder, rows, settings, choice)
    embedding_rate = adapted.embedding_learning_rate
    is_weighed = settings.balance and labels.problem == "single_label_classification"
    return FineTuningSpec.from_json(
        {
            "examples": "",
            "folder": "",
            "initial": "-",
            "head": _HEADS[settings.task],
            "labels": labels.names,
            "problem": labels.problem,
            "weights": labels.weights() if is_weighed and labels.names else None,
            "steps": -(-rows * settings.epochs // choice.batch_size),
            "checkpoint_steps": -(-rows // choice.batch_size),
            "batch_rows": choice.batch_size,
            "seed": choice.seed,
            "dropout": adapted.dropout,
            "precision": settings.precision,
            "schedule": {"warmup_share": settings.warmup_share},
            "optimizer": {
                "learning_rate": choice.learning_rate,
                "embedding_learning_rate": embedding_rate,
                "head_learning_rate": adapted.head_learning_rate,
                "weight_decay": settings.weight_decay,
                # A step shrinks by rate times decay: words that are never read by no more for it.
                "embedding_weight_decay": settings.weight_decay
                * min(1.0, choice.learning_rate / embedding_rate),
            },
            "first_attention": adapted.first_attention,
        }
    )


@dataclass
class _Trial:
    """A training and what is known of its epochs."""

    context: StageContext[Any]
    job: Job
    found: Found
    choice: Choice
    spec: FineTuningSpec
    training: str
    place: str
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scoring = scoring_of(self.job, self.found)
        self.prefix = f"{self.job.prefix}{self.choice.told()}/"
        self.checkpoints = Checkpoints(self.context, self.training, self.prefix)
        assert self.spec.steps is not None
        every, self.last = self.spec.checkpoint_steps, self.spec.steps
        self.ends = [*range(every, self.last, every), self.last]

    def run(self, before: float | None) -> tuple[Tried, UnitResult | None]:
        """Find out, or remember."""
        kept = self.context.committed(take_weights, self._weights_unit())
        self._recall()
        if self._is_enough() and kept is None:
            tried = self._tried()
            is_worse = not is_better(self.found.metric, tried.value, before)
            if is_worse and not self.checkpoints.steps():
                return tried, None
        if kept is None:
            self._train()
            kept = self._keep_weights(self._weights_unit())
        self.checkpoints.let_go(self.checkpoints.steps())
        return self._tried(), kept

    def _tried(self) -> Tried:
        epochs = [self.epochs[step] for step in self.ends if step in self.epochs]
        best = self._best()
        assert best is not None
        place = [step for step in self.ends if step in self.epochs].index(best)
        return Tried(self.choice, self.epochs[best][self.found.metric], epochs, place)

    def _best(self) -> int | None:
        """The step of the best epoch so far."""
        return best_epoch(self.found.metric, self.epochs)

    def _is_enough(self) -> bool:
        """Whether the training is at its end, or its scores have been no better for long."""
        patience = self.job.settings.patience
        return is_enough(self.found.metric, self.epochs, self.last, patience)

    def _recall(self) -> None:
        """Take up the scores of epochs that an earlier run has found, in their order."""
        for step in self.ends:
            known = self.context.committed(take_scores, self._epoch_unit(step))
            if known is None or self._is_enough():
                return
            self.epochs[step] = dict(known.summary["metrics"])

    def _train(self) -> None:
        """Train on, from the newest checkpoint, until it is enough."""
        best = self._best()
        if best is not None and self.checkpoints.find(best) is None:
            # What it was best with is lost: all of it is trained again.
            self.checkpoints.let_go(self.checkpoints.steps())
            self.epochs.clear()
        self.checkpoints.recall()
        for step in self.ends:
            checkpoint = None if step in self.epochs else self.checkpoints.find(step)
            if checkpoint is not None and not self._is_enough():
                self._look_at(checkpoint)
        if self._is_enough():
            return
        train_to(
            self.context,
            self.checkpoints,
            self.last,
            self._make_spec,
            self._take,
            stage="finetune",
            work=f"{self.job.settings.name} {self.choice.told()}{self.place}",
            is_enough=self._is_enough,
            launch=self._launch(),
        )
        if not self._is_enough() and (last := self.checkpoints.find(self.last)) is not None:
            self._look_at(last)

    def _take(self, event: Mapping[str, Any], before: UnitResult | None) -> UnitResult:
        checkpoint = adopt(self.checkpoints, event, before)
        # One in the middle of an epoch is only there to go on from.
        if step_number(checkpoint) in self.ends:
            self._look_at(checkpoint)
        return checkpoint

    def _look_at(self, checkpoint: UnitResult) -> None:
        """Score an epoch, and let go of what neither is the best nor the last."""
        step = step_number(checkpoint)
        self.epochs[step] = self._score(checkpoint)
        keep = {step, self._best()}
        self.checkpoints.let_go(n for n in self.checkpoints.steps() if n < step and n not in keep)

    def _score(self, checkpoint: UnitResult) -> dict[str, float]:
        step = step_number(checkpoint)
        payload = {
            "settings": self.job.settings,
            "reading": vars(self.found.reading),
            "labels": vars(self.found.labels),
            "tuned": {name: checkpoint.files[f"/{name}"] for name in _WEIGHTS},
            "tokenizer": self.job.tokenizer,
            "dev": self.job.files["dev"],
            "device": Device.of(self.context),
        }
        unit = Unit(f"{self.prefix}dev/{step:08d}", payload)
        (scored,) = self.context.map(score_dev, [unit], outputs=False, workers=1)
        work = UnitWork(self._epoch_unit(step).label, self.context.scratch())
        write_json(work.path(".json"), scored.summary["metrics"])
        report = UnitReport(summary=scored.summary)
        self.context.commit(take_scores, self._epoch_unit(step), work, report, outputs=False)
        return dict(scored.summary["metrics"])

    def _epoch_unit(self, step: int) -> Unit:
        payload = {"training": self.training, "step": step, "scoring": self.scoring}
        return Unit(f"{self.prefix}epoch/{step:08d}", payload)

    def _weights_unit(self) -> Unit:
        patience = self.job.settings.patience
        judged = judgement(self.training, self.scoring, self.found.metric, patience)
        return Unit(f"{self.prefix}weights", judged)

    def _keep_weights(self, unit: Unit) -> UnitResult:
        best = self._best()
        assert best is not None
        checkpoint = self.checkpoints.find(best)
        assert checkpoint is not None
        work = UnitWork(unit.label, self.context.scratch())
        for name in _WEIGHTS:
            shutil.copyfile(checkpoint.files[f"/{name}"].local(), work.path(f"/{name}"))
        report = UnitReport(summary={"step": best})
        return self.context.commit(take_weights, unit, work, report, outputs=False)

    def _launch(self) -> LaunchConfig:
        return for_small_steps(self.context.engine.launch)

    def _make_spec(self, folder: Path, resume: Path | None) -> dict[str, Any]:
        launch, known = self._launch(), self.checkpoints.resolved
        initial = folder / "initial"
        initial.mkdir()
        for name, file in self.job.encoder.items():
            (initial / name).symlink_to(file.local().resolve())
        spec = replace(
            self.spec,
            examples=str(self.found.examples.local()),
            folder=str(folder),
            initial=str(initial),
            resume=None if resume is None else str(resume),
            threads=threads_per_process(launch),
            device=launch.device,
            supervised=True,
            training=self.training,
        )
        values = spec.to_json()
        if known is not None:
            values["precision"] = known.precision
        return {"kind": spec.kind, **values}


def take_scores(work: UnitWork, **_: Any) -> UnitReport:
    """Never called: an epoch's scores are only committed under the training's own name."""
    raise AssertionError("scores are taken from where they were computed")


def take_weights(work: UnitWork, **_: Any) -> UnitReport:
    """Never called: the weights are a checkpoint's, and are only committed here."""
    raise AssertionError("weights come from a checkpoint")
