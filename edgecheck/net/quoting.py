"""What a stranger said, fit to be quoted."""


def tame(text: str, most: int = 200) -> str:
    """Fit for a sentence: printable, and not endless."""
    short = "".join(character if character.isprintable() else " " for character in text[: most + 1])
    return short if len(short) <= most else f"{short[:most]}..."
