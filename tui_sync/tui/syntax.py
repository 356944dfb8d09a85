"""Words of a programming language told apart, one line at a time and only where a line is shown.

A line is looked at by itself: a string or comment over several lines is coloured by what its line looks like,
which is the price of never reading more than is in sight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LONGEST = 2_000


def colours(path: str) -> Callable[[str], list[tuple[str, str]]]:
    """What cuts a line of this file into (component class, text); everything plain where nothing is known."""
    lexer = _lexer(path)
    if lexer is None:
        return lambda line: [("", line)]

    def cut(line: str) -> list[tuple[str, str]]:
        if len(line) > _LONGEST:
            return [("", line)]
        pieces: list[tuple[str, str]] = []
        for kind, words in lexer.get_tokens(line):
            if words.strip("\n"):
                pieces.append((_tone(kind), words.strip("\n")))
        # A lexer that loses anything of the line is not to be believed.
        return pieces if "".join(words for _, words in pieces) == line else [("", line)]

    return cut


def _lexer(path: str) -> Any:
    from pygments.lexers import get_lexer_for_filename  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_for_filename(path.rpartition("/")[2], stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _tone(kind: Any) -> str:
    from pygments.token import Comment, Keyword, Name, Number, String  # type: ignore[import-untyped]

    for family, tone in (
        (Comment, "code--comment"),
        (Keyword, "code--keyword"),
        (String, "code--string"),
        (Number, "code--number"),
        (Name.Function, "code--name"),
        (Name.Class, "code--name"),
        (Name.Tag, "code--keyword"),
        (Name.Attribute, "code--name"),
    ):
        if kind in family:
            return tone
    return ""
