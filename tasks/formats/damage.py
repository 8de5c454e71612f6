"""Broken data of any format, told as one paragraph."""

import pyarrow as pa

from tasks.errors import UserError
from tasks.formats import archives
from tasks.formats.compression import is_damage

# Of text it is told by its reader; elsewhere a column or a member has a name that is none.
_BROKEN = (pa.ArrowException, UnicodeDecodeError, *archives.DAMAGE)


def explained(problem: Exception, where: str, record: int) -> Exception:
    """What to say when compressed or columnar data are broken; other problems as they are."""
    if not isinstance(problem, _BROKEN) and not is_damage(problem):
        return problem
    what = str(problem).strip().rstrip(".") or type(problem).__name__
    return UserError(
        f"{where}: the data are damaged or cut short after {record:,} records ({what}). Get the "
        "file again from where it came, or leave it out of the source."
    )
