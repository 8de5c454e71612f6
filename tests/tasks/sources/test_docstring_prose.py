"""Docstrings as prose: what is joined, parted and left out, on docstrings as they are written."""

import argparse
import ast
import decimal
import difflib
import doctest
import inspect
import statistics
import textwrap
import typing
from types import ModuleType

import pytest

from tasks.sources import docstring_markup, docstring_prose
from tasks.sources.docstring_prose import prose
from tasks.sources.docstrings import docstrings


@pytest.mark.parametrize("module", [docstring_prose, docstring_markup])
def test_the_worked_examples_hold(module: ModuleType) -> None:
    """The public functions' docstrings show what they do."""
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def test_numpy_style_becomes_one_line_an_entry() -> None:
    """numpy.ma.where, shortened: underlines and doctests go, an empty section goes with them."""
    docstring = """
        Return a masked array with elements from `x` or `y`, depending on
        condition.

        .. note::
            When only `condition` is provided, this function is identical to
            `nonzero`.

        Parameters
        ----------
        condition : array_like, bool
            Where True, yield `x`, otherwise yield `y`.
        x, y : array_like, optional
            Values from which to choose.
        **kwargs
            Further options.

        Returns
        -------
        MaskedArray
            Elements from `x` where `condition` is True, see [1]_.
        out : ndarray

        See Also
        --------
        numpy.where : Equivalent function in the top-level NumPy module.

        References
        ----------
        .. [1] A. Author, "Masks",
           2004.

        Examples
        --------
        >>> x > 5
        array([False,
               True])
        """
    assert prose(docstring).split("\n") == [
        "Return a masked array with elements from x or y, depending on condition.",
        "note: When only condition is provided, this function is identical to nonzero.",
        "Parameters",
        "condition (array_like, bool): Where True, yield x, otherwise yield y.",
        "x, y (array_like, optional): Values from which to choose.",
        "**kwargs: Further options.",
        "Returns",
        "MaskedArray: Elements from x where condition is True, see [1].",
        "out: ndarray",
        "See Also",
        "numpy.where: Equivalent function in the top-level NumPy module.",
        "References",
        '[1] A. Author, "Masks", 2004.',
    ]


def test_google_style_becomes_one_line_an_entry() -> None:
    """As prefect and transformers write: deeper lines go on, code in fences goes."""
    docstring = """Fetch a value from a nested dictionary
    Args:
        dct: The nested dictionary or list from which
            to fetch the value.
        target_sizes (`List[Tuple]`, *optional*):
            List of the requested final sizes.

            If left to None, nothing is resized.
        default (int): What is given otherwise.

    Returns:
        `List[Dict]`: The value:
        - **segments** -- a tensor
          of shape `(height, width)`.
        - [`Mask`] - a mask.

    Example:

    ```python
    >>> get_from_dict({}, "a")

    plain code
    ```
    """
    assert prose(docstring).split("\n") == [
        "Fetch a value from a nested dictionary",
        "Args:",
        "dct: The nested dictionary or list from which to fetch the value.",
        "target_sizes (List[Tuple], optional): List of the requested final sizes.",
        "If left to None, nothing is resized.",
        "default (int): What is given otherwise.",
        "Returns: List[Dict]: The value:",
        "- segments -- a tensor of shape (height, width).",
        "- Mask - a mask.",
    ]


def test_fields_of_sphinx_and_epydoc_become_entries() -> None:
    """As sqlalchemy, docker and older code write; what was changed when is told too."""
    docstring = r"""
    :param \*other: one or more elements with which to create a
     UNION.

     .. versionchanged:: 1.4.28

        multiple elements are now accepted.
    :param str name: the
        :ref:`name <naming>`
    :return: True if :func:`~a.b.stale` says so.
    @raise ValueError: if not.
    """
    assert prose(docstring).split("\n") == [
        "param *other: one or more elements with which to create a UNION.",
        "versionchanged: 1.4.28",
        "multiple elements are now accepted.",
        "param str name: the name",
        "return: True if stale says so.",
        "raise ValueError: if not.",
    ]


@pytest.mark.parametrize(
    "code",
    [
        ">>> f(1)\n... + 2\n   3 | 4",
        "    In [1]: f(1)\n\n    Out[1]: 3",
        "$ pip install x\nCollecting x",
        "```\nplain\n\ncode\n```",
        "``` {.python}\nplain code\n```",
        ".. code-block:: python\n   :linenos:\n\n   plain\n\n   code",
        ".. math::  p(x) = c_0",
        ".. py:function comment\n   of two lines",
        ".. _target: https://example.org",
        ".. |x| image:: y.png",
        "===  ====\na    b\n===  ====\n1    2\n===  ====",
        "+---+---+\n| a | b |\n+===+===+\n| 1 | 2 |\n+---+---+",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "<Tip warning={true}>",
        "----",
        "***",
    ],
)
def test_code_tables_and_rules_are_left_out(code: str) -> None:
    """What stands around them stays, and stays apart."""
    assert prose(f"Before\n\n{code}\n\nafter.") == "Before\nafter."
    indented = code.replace("\n", "\n    ")
    assert prose(f"Before:\n\n    {indented}\n\nafter.") == "Before:\nafter."


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("Use it so::\n\n    f(1)\n\n    f(2)\n\nThen go on.", "Use it so:\nThen go on."),
        ("x : int\n    Use::\n\n        f(1)\n\n    Then.", "x (int): Use:\nThen."),
        ("- Use::\n\n      f(1)\n\n  Then go on.", "- Use:\nThen go on."),
        ("Example::\n    f(1)\nThen.", "Example:\nThen."),
        ("Example::\n    f(1)", ""),
        ("Use it so ::\n\n    f(1)", "Use it so:"),
        ("    >>> f(1)\n    2\nThen go on.", "Then go on."),
        ("``$ pip install x``", ""),
        ("Doctests >>> inside a line, or ... stay.", "Doctests >>> inside a line, or ... stay."),
    ],
)
def test_literal_code_ends_where_its_indentation_ends(docstring: str, text: str) -> None:
    """After `::`, deeper lines are code; a heading with nothing else below it goes too."""
    assert prose(docstring) == text


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("One\ntwo\n\n\nthree", "One two|three"),
        (
            "Methods:\n- a\n  b\n- c\n* d\n+ e\n1. f\n2) g\n(3) h",
            "Methods:|- a b|- c|* d|+ e|1. f|2) g|(3) h",
        ),
        (
            "parent - its widget\nwrap -- its wrapping\n   goes on",
            "parent - its widget|wrap -- its wrapping goes on",
        ),
        (
            "defined in `trials` the following\nexperiment: choose one.",
            "defined in trials the following experiment: choose one.",
        ),
        ("A sentence.\nkey: its value", "A sentence.|key: its value"),
        ("Return it\nNote: maybe", "Return it|Note: maybe"),
        ("Return it\nParameters\n----------\nx : int", "Return it|Parameters|x: int"),
        (
            "Return by\n    x (of (b, s)): text\n    y: more",
            "Return by|x (of (b, s)): text|y: more",
        ),
        ("x: The value of the\n    first\n    key: its", "x: The value of the first key: its"),
        ("Tabs are eight:\n        one\n\ttwo", "Tabs are eight: one two"),
        ("One\r\rtwo", "One|two"),
        ("#. this\n#. that", "#. this|#. that"),
        (
            "'r'       open for reading\n'w'       open for writing",
            "'r' open for reading|'w' open for writing",
        ),
        ("A wide gap\nends.   A sentence.", "A wide gap ends. A sentence."),
        ("  Deeper first.\nThen not.", "Deeper first.|Then not."),
        ("Wraps with\n    a hanging indent", "Wraps with: a hanging indent"),
        (
            "It wraps and goes on with\n    a hanging indent",
            "It wraps and goes on with a hanging indent",
        ),
        ("Notes\n-----\n\nExamples\n--------\nSome.", "Examples|Some."),
        ("Tabs\tand\x0bfeeds\x0cand\r\nreturns\xa0too", "Tabs and feeds and returns too"),
        (" \n\t\n", ""),
    ],
)
def test_lines_are_joined_within_a_block_and_parted_between(docstring: str, text: str) -> None:
    """Here `|` stands for the line break that parts blocks."""
    assert prose(docstring) == text.replace("|", "\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (":ref:`the seed<seed>` of `list<int>`", "the seed of list<int>"),
        ("A :py:class:`<lambda>` and `<x>`", "A <lambda> and <x>"),
        ("``None``s and `~a.B`'s", "None s and B's"),
        (r"two \\* stay, \**kwargs not, C:\new stays", r"two \\* stay, **kwargs not, C:\new stays"),
        ("a*b*c, **not this one**, **this**", "a*b*c, **not this one**, this"),
        ("x[0]_1 and [2]_", "x[0]_1 and [2]"),
    ],
)
def test_marks_go_and_what_they_mark_stays(text: str, shown: str) -> None:
    """Roles, links, quotes, escapes, emphasis and footnotes; nothing that merely looks alike."""
    assert docstring_markup.without_markup(text) == shown


def test_real_docstrings_hold_few_line_breaks_and_no_doctests() -> None:
    """Python's own: half of the line breaks and all indentation go, most words stay."""
    modules = (argparse, decimal, difflib, statistics, textwrap, typing)
    found = [text for m in modules for text in docstrings(ast.parse(inspect.getsource(m)))]
    raw, told = "\n".join(found), "\n".join(map(prose, found))
    assert told.count("\n") / len(told) < raw.count("\n") / len(raw) / 2
    assert "  " not in told
    assert "\n>>>" not in told
    assert len(told.split()) > 0.6 * len(raw.split())
