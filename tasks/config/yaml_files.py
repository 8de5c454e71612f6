"""YAML files as mappings, and what is wrong with one that is none, in words of what was expected.

PyYAML says what its parser wanted next. What somebody has to mend often stands before that: the
quote or bracket that was never closed, the key of the line above that has no colon.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tasks.config.addresses import redacted
from tasks.errors import UserError

_SHOWN = 100  # characters of a line


class _Fault(NamedTuple):
    """Line and column from 0, and what is to be mended."""

    line: int
    column: int
    told: str


def read_mapping(path: Path, wanted: str) -> dict[str, Any]:
    """The mapping in a YAML file; `wanted` says what should stand there.

    Raises:
        UserError: it cannot be read, is not YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = read_yaml(text)
    except yaml.YAMLError as problem:
        raise UserError(f"{path}{_told(problem, text)}") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: cannot be read: {problem}.") from problem
    if not isinstance(values, dict):
        raise UserError(f"{path}: {wanted}, this is not one.")
    return values


def read_yaml(text: str) -> Any:
    """The value that YAML text stands for.

    Raises:
        yaml.YAMLError: it stands for none.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    # A scalar that is none of its kind, such as a 13th month, is told by whatever it led to.
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise yaml.YAMLError(f"a value is none of its type ({problem})") from None


def _told(problem: yaml.YAMLError, text: str) -> str:
    """Where it is, what was expected there, and the line itself."""
    lines = text.splitlines() or [""]
    fault = _fault(problem, lines)
    if fault is None:
        return f": this is not valid YAML: {problem}."
    at = min(fault.line, len(lines) - 1)
    line = lines[at]
    column = fault.column if at == fault.line else len(line)
    shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
    shown = redacted(shown.replace("\t", "\\t"))
    return (
        f", line {at + 1}, column {column + 1}: this is not valid YAML: "
        f"{fault.told}. The line is `{shown}`."
    )


def _fault(problem: yaml.YAMLError, lines: list[str]) -> _Fault | None:
    if isinstance(problem, yaml.reader.ReaderError):
        before = "\n".join(lines)[: problem.position]
        line = before.count("\n")
        told = f"the character #x{int(problem.character):04x} is none that YAML allows"
        return _Fault(line, len(before) - before.rfind("\n") - 1, told)
    if not isinstance(problem, yaml.MarkedYAMLError) or problem.problem_mark is None:
        return None
    mark, begun = problem.problem_mark, problem.context_mark
    line, column, what = mark.line, mark.column, str(problem.problem)
    if "mapping values are not allowed" in what:
        return _colon(line, column, lines)
    if begun is not None and "expected ':'" in what:
        told = "after a key a colon and a space are expected (`key: value`)"
        return _Fault(begun.line, begun.column, told)
    if begun is not None and "quoted scalar" in str(problem.context) and "end of" in what:
        return _Fault(begun.line, begun.column, "the quote that begins here is never closed")
    if begun is not None and (wanted := re.match(r"expected ',' or '([]}])'", what)):
        return _bracket(line, column, begun, wanted[1])
    if "expected the node content" in what:
        return _Fault(line, column, "a value, or the end of a list or section, is missing here")
    if "expected <block end>" in what:
        if "mapping" in what and (keyless := _without_colon(line, lines)):
            return keyless
        return _Fault(line, column, _block(what, begun))
    if found := re.match(r"found character '(.*)' that cannot start any token", what):
        if found[1] == "\\t":
            return _Fault(line, column, "there is a tab; lines are indented with spaces alone")
        return _Fault(line, column, f"a text that begins with {found[1]} must be in quotes")
    if "alias" in f"{problem.context} {what}" or "an anchor" in str(problem.context):
        at = begun or mark
        first = lines[at.line][at.column : at.column + 1] if at.line < len(lines) else "*"
        return _Fault(at.line, at.column, f"a text that begins with {first} must be in quotes")
    if "unknown escape" in what:
        told = "in double quotes \\ begins an escape: write the text in single quotes"
        return _Fault(line, column, told)
    context = f"{problem.context}, " if problem.context else ""
    return _Fault(line, column, f"{context}{what}")


def _colon(line: int, column: int, lines: list[str]) -> _Fault:
    """Of a colon where no key can be."""
    if ": " in lines[line][:column]:
        told = "there are two `: ` in the line; a text that holds one must be in quotes"
        return _Fault(line, column, told)
    told = (
        f"the line is indented deeper than line {_above(line, lines) + 1}, which has a value of "
        "its own: keys of one section begin in one column"
    )
    indented = _Fault(line, len(lines[line]) - len(lines[line].lstrip()), told)
    return _without_colon(line, lines) or indented


def _above(line: int, lines: list[str]) -> int:
    """The line before it that is neither empty nor a comment."""
    above = line - 1
    while above > 0 and not lines[above].split("#")[0].strip():
        above -= 1
    return max(0, above)


def _without_colon(line: int, lines: list[str]) -> _Fault | None:
    """Of the line above, where it should be a key and has no colon."""
    above = _above(line, lines)
    text = lines[above]
    if above == line or re.search(r":(\s|$)", text) or text.lstrip().startswith("- "):
        return None
    told = "after a key a colon and a space are expected (`key: value`)"
    return _Fault(above, len(text) - len(text.lstrip()), told)


def _bracket(line: int, column: int, begun: Any, wanted: str) -> _Fault:
    """Of a list or mapping in brackets that goes on as none can."""
    opened = {"]": "[", "}": "{"}[wanted]
    if begun.line == line:
        return _Fault(
            line, column, f"a comma, or the {wanted} that closes the {opened}, is missing"
        )
    told = f"the {opened} that begins here is not closed by {wanted}, or a comma is missing"
    return _Fault(begun.line, begun.column, told)


def _block(what: str, begun: Any) -> str:
    """Of a section that goes on as none can."""
    if "'<scalar>'" in what:
        return (
            "a text begins where another has ended: a quote above is not closed, or the whole "
            "value must be in quotes"
        )
    if re.search(r"found '[]},]'", what):
        return "a bracket or comma stands here without one that was opened"
    since = f" (the section around it begins in line {begun.line + 1})" if begun else ""
    return (
        "the indentation fits nothing above: keys of one section, and dashes of one list, begin "
        f"in one column{since}"
    )
