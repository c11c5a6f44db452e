"""The verdict sheet as it stands in docs/registration.md: ``python -m edgecheck.diagnosis.sheet_page``."""

from collections.abc import Iterator

from edgecheck.diagnosis.knowledge import sheet


def markdown() -> str:
    """The sheet as it stands in docs/registration.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for each in sheet.rows():
        codes = f" ({', '.join(map(str, each.codes))})" if each.codes else ""
        yield from (f"### {each.title}", "", f"`{each.finding_id}`{codes}. {each.means} {each.matters}", "")
        yield from (f"*Evidence:* {each.proved}", "")
        if each.causes:
            yield from ("Most likely causes, in this order:", "", *(f"{number}. {text}" for number, text in enumerate(each.causes, 1)), "")
        yield from (f"*First thing to check:* {each.first}", "")
        if each.do:
            yield from (*(f"- {text}" for text in each.do), "")
        if each.settings:
            links = ", ".join(f"[{topic.title}](#{_anchor(topic.title)})" for topic in each.topics())
            yield from (f"Settings: {links}." + (f" {each.reference}." if each.reference else ""), "")
        elif each.reference:
            yield from (f"{each.reference}.", "")
    yield from ("## Settings", "", "Where each thing is set. In brackets: how well that is known.", "")
    for topic in sheet.topics():
        yield from (f"### {topic.title}", "")
        for program in sheet.programs():
            yield from (f"- **{program.title}** [{program.confidence}]", *(f"  - {_code(text)}" for text in topic.lines(program)))
        yield ""


def _anchor(title: str) -> str:
    """As GitHub makes it."""
    return "".join(character for character in title.lower().replace(" ", "-") if character.isalnum() or character in "-_")


def _code(text: str) -> str:
    """Markdown would take ``<param ...>`` for HTML and ``*`` for emphasis."""
    return text.replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


if __name__ == "__main__":
    print(markdown(), end="")
