"""Labelled examples: each row with its own targets, whatever groups a batch cuts them into."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from roberta_model.data.examples import SCHEMA, Examples, cut_by_length, padded_ids

ROWS = [[0, 7, 2], [0, 5, 6, 8, 2], [0, 2], [0, 9, 9, 2]]
TARGETS = [[1.0], [0.5, -100.0, 3.0], [], [2.0, 4.0]]


def examples_of(folder: Path) -> Examples:
    path = folder / "examples.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        table = pa.table({"ids": ROWS, "targets": TARGETS}, schema=SCHEMA)
        writer.write_table(table.slice(0, 3))
        writer.write_table(table.slice(3))
    return Examples(path)


def test_each_example_has_its_own_ids_and_targets(tmp_path: Path) -> None:
    """Over the batches of the file, and where an example has no target."""
    examples = examples_of(tmp_path)
    assert len(examples) == 4
    assert examples.lengths.tolist() == [3, 5, 2, 4]
    assert [examples.ids(number).tolist() for number in range(4)] == ROWS
    assert [examples.targets(number).tolist() for number in range(4)] == TARGETS


def test_a_batch_is_longest_first_and_targets_keep_to_their_rows(tmp_path: Path) -> None:
    """Examples 2, 0 and 3 of lengths 2, 3 and 4, in groups of their own as passes cost nothing."""
    batch = examples_of(tmp_path).batch(np.array([2, 0, 3]), pass_tokens=0, pad_id=1)
    assert batch.rows.ids_N.tolist() == [*ROWS[3], *ROWS[0], *ROWS[2]]
    assert batch.rows.firsts_R.tolist() == [0, 4, 7]
    assert batch.rows.positions_N.tolist() == [2, 3, 4, 5, 2, 3, 4, 2, 3]
    assert [group.lengths.tolist() for group in batch.rows.groups] == [[4], [3], [2]]
    assert batch.targets.tolist() == [2.0, 4.0, 1.0]


def test_rows_of_one_batch_share_a_group_where_a_pass_is_dear(tmp_path: Path) -> None:
    batch = examples_of(tmp_path).batch(np.array([2, 0, 3]), pass_tokens=1000, pad_id=1)
    (group,) = batch.rows.groups
    assert (group.rows, group.tokens, group.longest) == ((0, 3), (0, 9), 4)
    assert group.slots is not None
    assert group.places is not None
    assert group.slots.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 0, 0]
    assert group.places.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]


def test_a_file_without_examples_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "none.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA):
        pass
    assert len(Examples(path)) == 0


def test_padding_is_the_pad_id_and_lengths_are_told_unless_all_are_equal() -> None:
    rows = [np.array(row, dtype=np.int32) for row in ([4, 5, 6], [7])]
    ids_BT, lengths_B = padded_ids(rows, 1)
    assert ids_BT.tolist() == [[4, 5, 6], [7, 1, 1]]
    assert lengths_B is not None
    assert lengths_B.tolist() == [3, 1]
    full_BT, nothing = padded_ids(rows[:1] * 2, 1)
    assert full_BT.tolist() == [[4, 5, 6]] * 2
    assert nothing is None


def test_equal_examples_keep_their_order_and_a_group_may_be_just_full() -> None:
    """Three of five tokens and a limit of fifteen: one group; of fourteen: two and one."""
    lengths = np.array([5, 5, 5])
    assert [g.tolist() for g in cut_by_length(lengths, 100, 15)] == [[0, 1, 2]]
    sizes = sorted(len(group) for group in cut_by_length(lengths, 100, 14))
    assert sizes == [1, 2]
