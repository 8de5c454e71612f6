"""The ledger: what came in equals what was kept plus what was dropped, by reason.

Each measure (documents, bytes, tokens) balances on its own, per unit and in total. A stage
whose ledger does not balance fails, because a silent loss of text is the one error nobody
notices later.

Bytes are those of the UTF-8 text. A step that rewrites a document drops (or, when text
grows, drops a negative number of) bytes for a reason without dropping the document.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import StageError


@dataclass
class Balance:
    """One measure of a ledger: `taken == kept + sum(dropped.values())`."""

    taken: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def missing(self) -> int:
        """How much came in and is accounted for nowhere; 0 in a sound ledger."""
        return self.taken - self.kept - sum(self.dropped.values())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: `{"in": n, "kept": k, "dropped": {reason: n}}`."""
        dropped = {reason: n for reason, n in sorted(self.dropped.items()) if n}
        return {"in": self.taken, "kept": self.kept, "dropped": dropped}


class Ledger:
    """Balances of several measures, filled one document at a time.

    ledger.take(documents=1, bytes=120)
    ledger.keep(documents=1, bytes=118)
    ledger.drop("whitespace", bytes=2)
    """

    def __init__(self, balances: Mapping[str, Balance] | None = None) -> None:
        self.balances: dict[str, Balance] = dict(balances or {})

    def __getitem__(self, measure: str) -> Balance:
        return self.balances.setdefault(measure, Balance())

    def take(self, **amounts: int) -> None:
        """Count what came in, per measure."""
        for measure, amount in amounts.items():
            self[measure].taken += amount

    def keep(self, **amounts: int) -> None:
        """Count what went on to the next step, per measure."""
        for measure, amount in amounts.items():
            self[measure].kept += amount

    def drop(self, reason: str, **amounts: int) -> None:
        """Count what did not go on, and why, per measure."""
        for measure, amount in amounts.items():
            dropped = self[measure].dropped
            dropped[reason] = dropped.get(reason, 0) + amount

    def check(self, where: str) -> None:
        """Raise `StageError` naming the first measure that does not balance."""
        for measure, balance in self.balances.items():
            if balance.missing():
                raise StageError(
                    f"{where}: the ledger does not balance: {balance.taken:,} {measure} came in, "
                    f"{balance.kept:,} were kept and {sum(balance.dropped.values()):,} dropped, so "
                    f"{balance.missing():,} are unaccounted for. This is a defect in the stage; "
                    "nothing was published."
                )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, measures sorted by name."""
        return {measure: self.balances[measure].to_json() for measure in sorted(self.balances)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Ledger":
        """The inverse of `to_json`."""
        return cls(
            {
                measure: Balance(entry["in"], entry["kept"], dict(entry["dropped"]))
                for measure, entry in value.items()
            }
        )

    @classmethod
    def total(cls, ledgers: "Iterable[Ledger]") -> "Ledger":
        """The sum of several ledgers over the same step."""
        total = cls()
        for ledger in ledgers:
            for measure, balance in ledger.balances.items():
                total[measure].taken += balance.taken
                total[measure].kept += balance.kept
                for reason, amount in balance.dropped.items():
                    total.drop(reason, **{measure: amount})
        return total


def balance_of(ledgers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The stages' balances side by side, and whether each begins where the last one ended.

    `ledgers` maps a stage to its key and its ledger as plain JSON, in the stages' order.
    """
    stages = []
    balanced = True
    before: dict[str, int] = {}
    for name, (key, measures) in ledgers.items():
        if not measures:
            continue
        for measure, entry in measures.items():
            gap = entry["in"] - entry["kept"] - sum(entry["dropped"].values())
            balanced &= gap == 0 and before.get(measure, entry["in"]) == entry["in"]
            before[measure] = entry["kept"]
        stages.append({"name": name, "key": key, **measures})
    return {"stages": stages, "balanced": balanced}


def amount_dropped(amount: int) -> str:
    """How much was dropped, for people; what a cut added to the documents has a plus before it."""
    return f"{amount:,}" if amount >= 0 else f"+{-amount:,}"
