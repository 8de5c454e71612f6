"""The training process: `python -m roberta_model.training.process SPEC.json`, or several of it.

It tells its story as JSON lines on stdout (start, step, checkpoint, done or stopped); logs and
errors go to stderr. SIGTERM, and with a supervisor the end of stdin, mean: finish the step,
write a checkpoint, end. A second thread makes sure that this never takes longer than 25 s.

Where a spec has minutes and no steps, they are measured first (see `pace`), here: the libraries
that took seconds to load need not be loaded again for the training itself.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator

from roberta_model.training.checkpoint import write_measured
from roberta_model.training.device import device_name
from roberta_model.training.loop import AnySpec, StepResult, Training
from roberta_model.training.pace import Clock, measure_steps
from roberta_model.training.spec import read_spec

GRACE_SECONDS = 25.0
NO_GPU = (
    "torch finds no GPU on this machine. Install a torch for it (`make setup TORCH=gpu`) and a "
    "driver, or set engine.launch.device to auto or cpu."
)


class StopRequest:
    """Set by SIGTERM or by the supervisor's death; looked at once a step."""

    def __init__(self, supervised: bool) -> None:
        self._asked = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self.ask())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if supervised:
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    def ask(self) -> None:
        """Ask for a stop; the process ends within the grace time even if it hangs."""
        if not self._asked.is_set():
            self._asked.set()
            timer = threading.Timer(GRACE_SECONDS, os._exit, args=(1,))
            timer.daemon = True
            timer.start()

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
        return self._asked.is_set()

    def _watch_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 4096):
                pass
        self.ask()


class Storyteller:
    """Prints events of the main process; a reader that has gone is no reason to stop."""

    def __init__(self, is_main: bool) -> None:
        self.is_main = is_main

    def tell(self, event: str, **facts: Any) -> None:
        """One JSON line on stdout."""
        if self.is_main:
            with contextlib.suppress(OSError):
                print(json.dumps({"event": event, **facts}), flush=True)


def prepare(spec: AnySpec) -> Accelerator:
    """Threads, determinism and the processes that train together."""
    torch.set_num_threads(spec.threads)
    torch.set_flush_denormal(True)  # tiny gradients cost hundreds of cycles each and tell nothing
    is_on_cpu = spec.device == "cpu" or not torch.cuda.is_available()
    if is_on_cpu and spec.device == "gpu":
        raise ValueError(NO_GPU)
    # As use_deterministic_algorithms, which would load torch's compiler. On a GPU a mere warning
    # leaves attention's gradients to chance: only where an error is asked for are they exact.
    torch.set_deterministic_debug_mode("warn" if is_on_cpu else "error")
    # It also fills all new memory, for programs that read what they never wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return Accelerator(cpu=is_on_cpu)


def train(spec: AnySpec) -> None:
    """Train to the end of the spec, with checkpoints on the way."""
    stop = StopRequest(spec.supervised)
    accelerator = prepare(spec)
    story = Storyteller(accelerator.is_main_process)
    if spec.steps is None:
        steps = measure_steps(spec, accelerator, stop)
        if steps is None:
            story.tell("stopped", step=0)
            return
        spec = replace(spec, steps=steps, minutes=None)
    training = Training(spec, accelerator)
    story.tell(
        "start",
        step=training.step,
        steps=training.steps,
        precision=training.precision.name,
        device=accelerator.device.type,
        is_emulated=training.precision.is_emulated,
    )
    last = min(spec.stop_step or training.steps, training.steps)
    clock = Clock(training.objective.step_tokens)
    lines: list[str] = []
    first, finished = training.step + 1, training.step >= last
    for result in training.run(last, stop):
        lines.append(result.line())
        clock.count()
        if result.step == first:
            clock.lap()  # it compiles and finds memory: no measure of those that follow
            story.tell("warm", step=first, at=time.monotonic(), loss=result.loss)
        finished = result.step >= last
        if result.held_out_loss is not None:
            figures = {"loss": result.loss, "held_out_loss": result.held_out_loss}
            story.tell("held_out", step=result.step, at=time.monotonic(), **figures)
        if clock.is_due() or finished:
            figures = {"loss": result.loss, **(clock.lap() if clock.lap_steps else {})}
            story.tell("step", step=result.step, at=time.monotonic(), **figures)
        if finished or result.must_stop or result.step % spec.checkpoint_steps == 0:
            _save(training, accelerator, story, lines, clock, result)
    story.tell("done" if finished else "stopped", step=training.step)
    if accelerator.device.type != "cpu":
        accelerator.end_training()  # GPUs may read each other's memory until all have come here


def _save(
    training: Training,
    accelerator: Accelerator,
    story: Storyteller,
    lines: list[str],
    clock: Clock,
    result: StepResult,
) -> None:
    facts: dict[str, Any] = clock.interval()
    folder = training.save("".join(lines))
    if accelerator.is_main_process:
        facts |= {"processes": accelerator.num_processes, "torch": torch.__version__}
        facts |= {"threads": training.spec.threads, "device": device_name(accelerator.device.type)}
        facts |= {"is_on_gpu": accelerator.device.type != "cpu"}
        write_measured(folder, facts)
        story.tell("checkpoint", step=result.step, path=str(folder), **facts)
    lines.clear()
    accelerator.wait_for_everyone()
    clock.restart()


def main(arguments: list[str]) -> int:
    """Run one spec; the exit code. Errors are one paragraph on stderr."""
    try:
        train(read_spec(Path(arguments[0])))
    except (ValueError, OSError) as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
        return 1
    except Exception:  # nobody's mistake: where it happened is told too
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End this process at once: all that counts is on the disk by now.

    A finished training was seen to abort (SIGABRT, under load) while its threads, connections and
    the interpreter were taken down one by one, and was taken for a failed one.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
