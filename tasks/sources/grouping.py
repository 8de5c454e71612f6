"""Which files share a unit: large ones have their own, many small ones are put together.

A small file's group is the beginning of its digest, so adding or removing one touches a single
group, and only a sixteenfold growth of the corpus rearranges them all.
"""

from collections import defaultdict
from collections.abc import Sequence

from tasks.engine.identity import digest_of
from tasks.formats.source_files import SourceFile

SMALL_BYTES = 256 << 10
MOST_ALONE = 64
FILES_A_GROUP = 256

Group = list[SourceFile]


def group_files(files: Sequence[SourceFile]) -> list[Group]:
    """The files of a source, in order of their digests, as groups.

    Only files that are read in the same way share a group.
    """
    alone: list[Group] = []
    small: dict[str, Group] = defaultdict(list)
    for file in files:
        if file.file.bytes > SMALL_BYTES or file.container != "plain":
            alone.append([file])
        else:
            small[digest_of(file.options)].append(file)
    for same_reading in small.values():
        alone += _by_digest(same_reading)
    return sorted(alone, key=lambda group: group[0].file.sha256)


def _by_digest(files: Group) -> list[Group]:
    if len(files) <= MOST_ALONE:
        return [[file] for file in files]
    digits = 1
    while len(files) > FILES_A_GROUP * 16**digits:
        digits += 1
    groups: dict[str, Group] = defaultdict(list)
    for file in files:
        groups[file.file.sha256[:digits]].append(file)
    return list(groups.values())
