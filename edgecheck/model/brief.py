"""A long sentence, short enough for a first line: the whole of it stands in the row below."""

import re


def brief(text: str, most: int = 140) -> str:
    """What can stand in a first line: without what is in brackets, and, where that is still too long, up to the first colon or semicolon.

    It is never cut before an ``or``: of two causes that fit, one alone must not be asserted.
    """
    if len(text) <= most:
        return text
    plain = re.sub(r" \([^()]*\)", "", text)
    pause = re.search(r"(?<=.{40}): |(?<=.{40}); (?!or )", plain)
    return plain if len(plain) <= most or pause is None else plain[: pause.start()]
