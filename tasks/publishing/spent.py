"""What a model cost: time, energy and disk, from its stages' manifests.

Energy is an estimate, and says so wherever it is shown: process seconds times a power that is
assumed for each busy processor core, training seconds times that of each GPU. What a machine
draws while it waits, its cooling and what was tried before are not in it.
"""

from collections.abc import Mapping
from typing import Any

CORE_WATTS = 10.0
"""Of a busy core with its share of memory and power supply: servers of 32 to 96 cores draw 300
to 900 W under load."""

GPU_WATTS = 500.0
"""Of a busy data centre GPU with its share of the host: between an A100's 400 W and an H100's
700 W at most."""


def spent_on(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Plain JSON: `seconds` of all processes, `training`, `watt_hours`, `bytes`, `peak_bytes`.

    `training` has its `seconds` of all processes and its `clock_seconds`, `processes`, `threads` of
    each, and `device`, as far as they were recorded.
    """
    training = training_of(manifests["pretrain"])
    seconds, trained = sum(map(stage_seconds, manifests.values())), training["seconds"]
    joules = CORE_WATTS * (seconds - trained)
    joules += trained * (GPU_WATTS if training["is_on_gpu"] else CORE_WATTS * training["threads"])
    return {
        "seconds": seconds,
        "training": training,
        "watt_hours": joules / 3600,
        "bytes": sum(stored_bytes(manifest) for manifest in manifests.values()),
        "peak_bytes": max(
            int(manifest["provenance"].get("peak_memory_bytes", 0))
            for manifest in manifests.values()
        ),
    }


def intervals_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was measured of a training between its checkpoints, kept or not, in order."""
    found = [unit["provenance"] for unit in manifest["units"] if "intervals" in unit["provenance"]]
    if not found:
        return []
    return list(max(found, key=lambda unit: int(unit["step"]))["intervals"])


def training_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds, processes, threads and device of a training; see `spent_on`."""
    intervals = intervals_of(manifest)
    last = intervals[-1] if intervals else {}
    return {
        "seconds": sum(map(_process_seconds, intervals)),
        "clock_seconds": float(sum(part.get("seconds", 0.0) for part in intervals)),
        "processes": int(last.get("processes", 1)),
        "threads": int(last.get("threads", 1)),
        "device": last.get("device"),
        "is_on_gpu": bool(last.get("is_on_gpu", False)),
    }


def stage_seconds(manifest: Mapping[str, Any]) -> float:
    """All processes' own time; of a training, that of all its checkpoints, kept or not."""
    units = [unit["provenance"] for unit in manifest["units"]]
    rest = [unit for unit in units if "intervals" not in unit]
    trained = sum(map(_process_seconds, intervals_of(manifest)))
    return float(sum(part.get("seconds", 0.0) for part in rest)) + trained


def _process_seconds(interval: Mapping[str, Any]) -> float:
    """Of a part of a training, whose processes all take the time on its clock."""
    return float(interval.get("seconds", 0.0)) * int(interval.get("processes", 1))


def stored_bytes(manifest: Mapping[str, Any]) -> int:
    """Bytes of all files of an artifact; those that it shares with others count here too."""
    return sum(int(file["bytes"]) for unit in manifest["units"] for file in unit["files"].values())


def shown_seconds(seconds: float) -> str:
    """A time for people.

    >>> [shown_seconds(n) for n in (4.24, 75, 4000, 200_000)]
    ['4.2 s', '1 min 15 s', '1 h 6 min', '2 d 7 h']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    total = round(seconds)
    for size, below, name, small in ((86400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if total >= size:
            return f"{total // size} {name} {total % size // below} {small}"
    return f"{total // 60} min {total % 60} s"


def shown_energy(watt_hours: float) -> str:
    """An amount of energy for people.

    >>> shown_energy(0.4321), shown_energy(64_000)
    ('0.43 Wh', '64 kWh')
    """
    amount, unit = (watt_hours / 1000, "kWh") if watt_hours >= 1000 else (watt_hours, "Wh")
    return f"{amount:,.0f} {unit}" if amount >= 10 else f"{amount:.2g} {unit}"


def shown_bytes(amount: float) -> str:
    """A size for people.

    >>> shown_bytes(1_245_072), shown_bytes(812)
    ('1.2 MB', '812 bytes')
    """
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= size:
            return f"{amount / size:,.1f} {unit}"
    return f"{amount:.0f} bytes"


def told_training(training: Mapping[str, Any]) -> str:
    """Where a training ran, in words."""
    processes, threads = training["processes"], training["threads"]
    device = training["device"] or ("GPU" if training["is_on_gpu"] else "CPU (not recorded which)")
    if training["is_on_gpu"]:
        return f"{processes} x {device}"
    cores = processes * threads
    return f"{device}, {cores} core{'s' if cores > 1 else ''}"
