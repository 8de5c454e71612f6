"""The end of every source's way: records are counted, and those with text are written."""

import re
from dataclasses import dataclass, field
from typing import Any

from roberta_model.inference.encodable import lone_half
from tasks.engine.ledger import Ledger
from tasks.engine.units import UnitReport
from tasks.errors import UserError
from tasks.sources.parts import DocumentParts

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class DocumentSink:
    """Counts every record into a ledger and writes those that hold text.

    `num_records` is the number of the next record in the unit.
    """

    writer: DocumentParts
    errors: str
    ledger: Ledger = field(default_factory=Ledger)
    num_records: int = 0

    def add(self, text: str | None, where: str) -> int:
        """Take one record; returns the UTF-8 bytes of its text.

        Raises:
            UserError: the text holds half of a surrogate pair and `errors` is "refuse".
        """
        record, self.num_records = self.num_records, self.num_records + 1
        text = text or ""
        if not text or text.isspace():
            size = len(text.encode())
            self.ledger.take(documents=1, bytes=size)
            self.ledger.drop("empty", documents=1, bytes=size)
            return size
        try:
            size = self.writer.add(record, text)
        except UnicodeEncodeError:
            if self.errors == "refuse":
                raise UserError(
                    f"{where}: the text holds {lone_half(text)}. Set the source's "
                    "`errors: replace`, or mend it."
                ) from None
            size = self.writer.add(record, _LONE_SURROGATE.sub("\ufffd", text))
        self.ledger.take(documents=1, bytes=size)
        self.ledger.keep(documents=1, bytes=size)
        return size

    def report(self, **summary: Any) -> UnitReport:
        """What the unit hands back."""
        figures = {"documents": self.writer.num_documents, "bytes": self.writer.num_bytes}
        figures |= summary
        # Balances exist even for an empty file, so that totals always have both measures.
        self.ledger.take(documents=0, bytes=0)
        return UnitReport(self.ledger, self.writer.rows, figures)
