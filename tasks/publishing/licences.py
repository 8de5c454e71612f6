"""Which licence a model card may name: one of the identifiers that the hub knows, or `other`.

A source's `licence` is a note in somebody's own words; the hub's field takes an identifier. One
licence for all text becomes that identifier. Where there are several, or a source that names
none, the field says `other` and the card lists them by source.
"""

import re
from collections.abc import Sequence

OTHER = "other"

# The identifiers of the hub's documentation ("Repository licenses"), but those of single models.
_HUB_NAMES = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc
cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0
cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0
gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
HUB_LICENCES = frozenset(_HUB_NAMES.split())
_ENDINGS = re.compile(r"-(only|or-later|license|licence)$")


def hub_licence(note: str) -> str | None:
    """The hub's identifier for a note, or None where it is no plain name of such a licence.

    >>> hub_licence("CC BY-SA 4.0"), hub_licence("MIT License"), hub_licence("ours")
    ('cc-by-sa-4.0', 'mit', None)
    """
    name = _ENDINGS.sub("", "-".join(note.lower().split()))
    return name if name in HUB_LICENCES else None


def card_licence(chosen: str | None, notes: Sequence[str | None]) -> str | None:
    """What the card's `license` field says; None: nothing is known, and it is left out.

    Args:
        chosen: The config's `publish.licence`, which goes before what the sources say.
        notes: Each source's own, None where it has none.
    """
    said = {chosen} if chosen else set(notes)
    if not any(said):
        return None
    (only, *others) = said
    return OTHER if others or only is None else hub_licence(only) or OTHER
