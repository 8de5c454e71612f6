"""Columns, items and labels by their rules, row by row."""

from typing import Any

import pytest

from roberta_model.inference.reading import Columns
from roberta_model.recipe import TaskName
from tasks.config.downstream import ColumnsConfig
from tasks.errors import UserError
from tasks.finetuning import labels
from tasks.finetuning.items import Answer, Item, answers_of, find_columns, item_of
from tasks.finetuning.labels import Labels, class_names, find_labels, name_of, number_of

NONE = ColumnsConfig()


def columns(task: TaskName, *names: str, labelled: bool = True, **given: str) -> Columns:
    row = dict.fromkeys(names, "x")
    return find_columns(task, row, ColumnsConfig(**given), "f", labelled=labelled)


@pytest.mark.parametrize(
    ("task", "names", "expected"),
    [
        ("classify", ("label", "title", "text"), ("text", None, "label")),
        ("classify", ("Category", "Review"), ("Review", None, "Category")),
        ("classify", ("sentence", "sentiment", "label"), ("sentence", None, "label")),
        ("pair", ("hypothesis", "premise", "gold"), ("premise", "hypothesis", "gold")),
        ("pair", ("question", "sentence", "label"), ("question", "sentence", "label")),
        ("regress", ("sentence1", "sentence2", "score"), ("sentence1", "sentence2", "score")),
        ("regress", ("text", "label", "score"), ("text", None, "score")),
        ("tag", ("text", "tokens", "ner_tags"), ("tokens", None, "ner_tags")),
        ("qa", ("context", "question", "answers"), ("question", "context", "answers")),
        ("qa", ("passage", "question", "answer"), ("question", "passage", "answer")),
    ],
)
def test_columns_are_guessed_by_the_names_that_sets_use(
    task: TaskName, names: tuple[str, ...], expected: tuple[str, str | None, str]
) -> None:
    """The likeliest first, whatever their order in the file and their letters."""
    assert columns(task, *names) == Columns(*expected)


def test_a_column_is_not_the_text_and_the_label() -> None:
    """One that is named as the text is no label."""
    with pytest.raises(UserError, match="which column holds the label"):
        columns("classify", "label", "id", text="label")
    assert columns("classify", "text", "label", text="label", label="text").label == "text"


def test_nor_is_it_both_texts() -> None:
    """One that is named as the second is not guessed as the first."""
    found = columns("classify", "text", "sentence", "label", second="text")
    assert found == Columns("sentence", "text", "label")
    with pytest.raises(UserError, match="which column holds the text"):
        columns("regress", "text", "score", second="text")


def test_without_labels_none_is_looked_for() -> None:
    """Not even one that is named; a text that is named must be there."""
    assert columns("classify", "text", "label", labelled=False) == Columns("text", None, None)
    assert columns("classify", "text", labelled=False, label="gone").label is None
    with pytest.raises(UserError, match=r"no column 'gone' \(columns.label\)"):
        columns("classify", "text", label="gone")
    with pytest.raises(UserError, match=r"no column 'gone' \(columns.second\)"):
        columns("pair", "text", "label", text="text", second="gone", labelled=False)


def test_a_pair_may_be_named_in_part() -> None:
    """The other one is that of the known pair."""
    assert columns("pair", "premise", "hypothesis", "x", "label", second="x") == Columns(
        "premise", "x", "label"
    )
    with pytest.raises(UserError, match="which columns hold the two texts"):
        columns("pair", "a", "b", "label", text="a")
    assert columns("pair", "a", "b", "label", text="a", second="b") == Columns("a", "b", "label")


@pytest.mark.parametrize("task", ["pair", "regress"])
def test_of_a_known_pair_the_one_that_is_not_named_is_taken(task: TaskName) -> None:
    """Not the named one twice, nor another in place of it."""
    names = ("sentence1", "sentence2", "x", "score", "label")
    label = columns(task, *names).label
    found = columns(task, *names, second="sentence1")
    assert found == Columns("sentence2", "sentence1", label)
    assert columns(task, *names, second="x") == Columns("sentence1", "x", label)
    if task == "pair":
        found = columns(task, *names, text="sentence2")
        assert found == Columns("sentence2", "sentence1", label)


def test_an_item_has_its_parts_from_its_columns() -> None:
    row = {"a": "one", "b": "two", "c": "x", "tokens": "w1  w2"}
    assert item_of(row, "pair", Columns("a", "b", "c"), "f") == Item("f", "one", "two", "x")
    assert item_of(row, "tag", Columns("tokens", None, None), "f").text == ["w1", "w2"]
    with pytest.raises(UserError, match="f: 'c' has 3 tags for 2 words"):
        item_of({**row, "c": "A B C"}, "tag", Columns("tokens", None, "c"), "f")
    for words in (["a", ""], ["a", 7], 7):
        with pytest.raises(UserError, match="not a list of words"):
            item_of({"w": words}, "tag", Columns("w", None, None), "f")


@pytest.mark.parametrize("label", [float("inf"), float("-inf"), float("nan"), None, "\t"])
def test_what_is_no_number_and_no_name_is_no_label(label: Any) -> None:
    with pytest.raises(UserError, match="there is no label"):
        item_of({"text": "a", "label": label}, "classify", Columns("text", None, "label"), "f")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("nan", "f: 'label' holds 'nan', which tables write where there is no label"),
        (" NaN ", "f: 'label' holds 'NaN'"),
        (["good", "nan"], "f: 'label' holds 'nan'"),
        ({"name": "good"}, "'label' holds .*name.*, which is a structure and no class"),
        ([["good"]], "which is a structure and no class"),
        (b"good", "which is a structure and no class"),
    ],
)
def test_what_a_table_writes_for_nothing_and_a_structure_are_no_classes(
    label: Any, words: str
) -> None:
    """They were learnt as classes of these names. Neither is a question's answer refused so."""
    with pytest.raises(UserError, match=words):
        item_of({"text": "a", "label": label}, "classify", Columns("text", None, "label"), "f")
    row = {"question": "a", "context": "nan", "answers": [{"text": "nan", "answer_start": 0}]}
    item_of(row, "qa", Columns("question", "context", "answers"), "f")


@pytest.mark.parametrize("label", ["good\ud83d", ["a", "\ud83d"]])
def test_half_of_a_surrogate_pair_is_no_label(label: Any) -> None:
    """A model's config could not hold its name, which would be found out after the training."""
    with pytest.raises(UserError, match="f, line 1: 'label' holds half of a surrogate pair"):
        item_of(
            {"text": "x", "label": label}, "classify", Columns("text", None, "label"), "f, line 1"
        )


@pytest.mark.parametrize(
    ("value", "name"),
    [(True, "true"), (False, "false"), (1.0, "1"), (1.5, "1.5"), (-2, "-2"), (" a ", "a")],
)
def test_a_label_is_called_alike_in_every_format(value: Any, name: str) -> None:
    """As JSON and tables have it."""
    assert name_of(value) == name


def test_several_classes_of_a_cell_are_parted_where_that_is_asked_for() -> None:
    assert class_names("a | b||", "|") == ["a", "b"]
    assert class_names("a | b", None) == ["a | b"]
    assert class_names((1.0, True), None) == ["1", "true"]
    assert class_names(1.0, "|") == ["1"]


def item(label: Any, text: Any = "t") -> Item:
    return Item("row", text, None, label)


def test_one_list_makes_all_texts_ones_of_several_classes() -> None:
    """Wherever it stands; and a single class of lists is something to learn."""
    found = find_labels("classify", [item("a"), item(["a", "b"])], None, "f")
    assert (found.names, found.problem) == (("a", "b"), "multi_label_classification")
    assert found.counts == (2, 1)
    alone = find_labels("classify", [item(["a"]), item([])], None, "f")
    assert alone.names == ("a",)
    with pytest.raises(UserError, match="only the label 'a'"):
        find_labels("classify", [item("a"), item("a")], None, "f")
    with pytest.raises(UserError, match="have no label"):
        find_labels("classify", [item([]), item([])], None, "f")


def test_tags_are_counted_word_by_word() -> None:
    found = find_labels("tag", [item("A B A", ["x"] * 3), item(["B"], ["y"])], None, "f")
    assert (found.names, found.counts) == (("A", "B"), (2, 2))
    assert found.numbers(item("B A", ["x"] * 2), tags=True) == [1, 0]


def test_a_label_that_is_unknown_is_told_beside_some_that_are_known() -> None:
    """Twenty of them, and how many more there are."""
    found = find_labels("classify", [item(f"c{n:04}") for n in range(1_030)], None, "f")
    with pytest.raises(UserError, match=r"'x' is not among .* c0018, c0019 and 1,010 more\. Add"):
        found.numbers(item("x"))
    few = find_labels("classify", [item("a"), item("b")], None, "f")
    with pytest.raises(UserError, match=r"which have a, b\. Add"):
        few.numbers(item("x"))


def test_so_many_classes_are_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of more is most likely none of labels."""
    assert labels._MOST_CLASSES == 10_000
    monkeypatch.setattr(labels, "_MOST_CLASSES", 3)
    rows = [item(n) for n in range(3)]
    assert find_labels("classify", rows, None, "f").names == ("0", "1", "2")
    with pytest.raises(UserError, match="row: there are more than 3 different labels"):
        find_labels("classify", [*rows, item("one more")], None, "f")


@pytest.mark.parametrize(("value", "is_number"), [(999_999.0, True), (1e6, False), (-1e6, False)])
def test_a_number_is_below_a_million(value: float, is_number: bool) -> None:
    """Either way; labels of numbers are counted and have no names."""
    if is_number:
        assert number_of(item(value)) == value
        assert number_of(item(-value)) == -value
        assert find_labels("regress", [item(value)] * 3, None, "f").counts == (3,)
    else:
        with pytest.raises(UserError, match="is no number between"):
            number_of(item(value))


@pytest.mark.parametrize("label", [True, False, "true", "1_000", "1,000", [1.0], {"value": 1}])
def test_what_only_python_takes_for_a_number_is_none(label: Any) -> None:
    """A column of true and false is no column of numbers, nor is a digit group with `_`."""
    with pytest.raises(UserError, match="row: .* is no number between"):
        number_of(item(label))
    assert [number_of(item(label)) for label in (" 1.5 ", "1e3", 2)] == [1.5, 1000, 2]


@pytest.mark.parametrize(("label", "told"), [(["a", "b"], "2 labels"), ([], "no labels")])
def test_a_row_of_several_classes_is_not_scored_by_its_first(label: Any, told: str) -> None:
    """Where each text that is learnt from has one class; a list of one is that one."""
    known = find_labels("classify", [item("a"), item("b")], None, "f")
    with pytest.raises(UserError, match=f"row: this row has {told}"):
        known.numbers(item(label))
    assert known.numbers(item(["b"])) == [1]
    assert Labels(("a", "b"), "multi_label_classification").numbers(item([])) == []


def test_weights_make_classes_count_alike() -> None:
    """Six and two: the rare one counts three times as much, the mean item counts 1."""
    weights = Labels(("a", "b"), counts=(6, 2)).weights()
    assert weights == pytest.approx((8 / 12, 2.0))
    assert (6 * weights[0] + 2 * weights[1]) / 8 == pytest.approx(1)


@pytest.mark.parametrize(
    "label",
    ["Rome", ["Rome"], {"text": "Rome"}, {"text": ["Rome"]}, [{"text": "Rome"}]],
)
def test_an_answer_whose_place_is_not_told_is_looked_for(label: Any) -> None:
    """The first character of the context is a place like any other."""
    assert answers_of(Item("f", "Where?", "It was in Rome.", label)) == [Answer("Rome", -1)]
    assert answers_of(Item("f", "?", "Rome", {"text": ["Rome"], "answer_start": [0]})) == [
        Answer("Rome", 0)
    ]


def test_one_row_with_several_classes_makes_all_rows_such() -> None:
    """Wherever it stands in the file."""
    rows = [Item("f", "text", None, label) for label in ("a", ["a", "b"], "b")]
    assert find_labels("classify", rows, None, "f").problem == "multi_label_classification"
