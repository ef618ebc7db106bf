"""Errors as users see them: place, line, carets, hint; sorted, once each, and not too many."""

from __future__ import annotations

import ast
import pickle
import traceback
from typing import Any

import pytest

from pyringkernel.compiler.diagnostics import MOST_SHOWN, Diagnostics, Rejected, SourceText
from pyringkernel.compiler.source import FunctionSource
from pyringkernel.errors import HandlerSignatureError, KernelError, TranslationError, UnsupportedOnTargetError


def collector(text: str, first_line: int = 1) -> tuple[Diagnostics, Any]:
    tree = ast.parse(text)
    ast.increment_lineno(tree, first_line - 1)
    return Diagnostics(SourceText("handlers.py", tuple(text.splitlines(keepends=True)), first_line)), tree


def shown(text: str, find: type[ast.AST]) -> str:
    found, tree = collector(text)
    found.add(next(node for node in ast.walk(tree) if isinstance(node, find)), "no", "write yes")
    return str(next(iter(found)))


def test_an_error_shows_place_line_carets_and_hint() -> None:
    assert shown("x = 1\ny = [2, 3]\n", ast.List) == (
        "handlers.py:2:5: error: no\n    y = [2, 3]\n        ^^^^^^\n    hint: write yes"
    )


def test_columns_count_characters_and_carets_stand_below_wide_ones() -> None:
    assert shown("é = '日本'; y = [2]\n", ast.List) == (
        "handlers.py:1:15: error: no\n    é = '日本'; y = [2]\n                    ^^^\n    hint: write yes"
    )


def test_tabs_before_the_carets_stay_tabs() -> None:
    assert shown("if 1:\n\tx = [2]\n", ast.List).splitlines()[1:3] == ["    \tx = [2]", "    \t    ^^^"]


def test_carets_of_several_lines_end_with_the_first() -> None:
    assert shown("x = [1,\n  2]\n", ast.List).splitlines()[2] == "        ^^^"


def test_lines_count_from_where_the_function_begins() -> None:
    found, tree = collector("x = 1\n", first_line=40)
    found.add(tree.body[0], "no")
    assert str(next(iter(found))) == "handlers.py:40:1: error: no\n    x = 1\n    ^^^^^"


def test_errors_are_sorted_and_told_once() -> None:
    found, tree = collector("a\nb\n")
    for node in (tree.body[1], tree.body[0], tree.body[1]):
        found.add(node, "no")
    assert [one.line for one in found] == [1, 2]


def test_suppressed_errors_are_not_collected() -> None:
    found, tree = collector("a\nb\n")
    with found.suppress():
        found.add(tree.body[0], "no")
    found.add(tree.body[1], "no")
    assert [one.line for one in found] == [2]


def test_a_failed_statement_ends_and_the_next_goes_on() -> None:
    found, tree = collector("a\nb\n")
    reached = []
    for node in tree.body:
        with found.statement():
            found.fail(node, "no")
            reached.append(node)
    assert not reached
    assert len(found) == 2
    with pytest.raises(Rejected):
        found.fail(tree.body[0], "no")


def test_other_errors_leave_a_statement() -> None:
    found, _ = collector("a\n")
    with pytest.raises(KeyError), found.statement():
        raise KeyError


def test_errors_in_another_file_have_its_name_and_lines() -> None:
    found, tree = collector("a\n")
    other = ast.parse("bb\n").body[0]
    with found.reading(SourceText("other.py", ("bb\n",), 1)):
        found.add(other, "no")
    found.add(tree.body[0], "no")
    assert [(one.file, one.source) for one in found] == [("handlers.py", "a"), ("other.py", "bb")]


def test_nothing_is_raised_without_errors() -> None:
    collector("a\n")[0].raise_if_any("h")


def test_the_exception_lists_all_and_shows_the_first_ones() -> None:
    found, tree = collector("a\n" * (MOST_SHOWN + 3))
    for node in tree.body:
        found.add(node, "no")
    with pytest.raises(TranslationError) as caught:
        found.raise_if_any("scale")
    lines = str(caught.value).splitlines()
    assert lines[0] == "scale cannot be compiled: 23 errors"
    assert lines[-1] == "and 3 more"
    assert len(caught.value.diagnostics) == 23
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_one_error_is_one_error() -> None:
    found, tree = collector("a\n")
    found.add(tree.body[0], "no")
    with pytest.raises(TranslationError, match="^scale cannot be compiled: 1 error\n"):
        found.raise_if_any("scale")


def test_the_exceptions_derive_from_what_fits() -> None:
    assert issubclass(TranslationError, (HandlerSignatureError, TypeError))
    assert issubclass(TranslationError, TypeError)
    assert issubclass(UnsupportedOnTargetError, KernelError)
    assert issubclass(UnsupportedOnTargetError, NotImplementedError)


def test_the_exception_can_be_pickled() -> None:
    found, tree = collector("a\n")
    found.add(tree.body[0], "no")
    with pytest.raises(TranslationError) as caught:
        found.raise_if_any("scale")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.diagnostics == caught.value.diagnostics


def test_the_traceback_of_a_lambda_names_the_user_and_no_cause() -> None:
    with pytest.raises(TranslationError) as caught:
        FunctionSource(lambda ctx, msg: None)
    assert "During handling" not in "".join(traceback.format_exception(caught.value))
