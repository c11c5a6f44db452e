"""JSON Schema, as much of it as the generated one uses: for the tests, which bring no validator along."""

from typing import Any


def conforms(value: Any, whole: dict[str, Any], part: dict[str, Any] | None = None, where: str = "report") -> None:
    """Validates by the words of JSON Schema that the generated one uses; an unknown word is an error, not a pass."""
    rule = whole if part is None else part
    for word, content in rule.items():
        if word in ("$schema", "$defs", "title", "description", "default", "discriminator"):
            continue
        # a discriminator (OpenAPI) only tells a reader which of the anyOf applies
        check = _WORDS.get(word)
        assert check is not None, f"{where}: the schema says {word!r}, which this test does not know"
        check(value, content, rule, whole, where)


def _matches(value: Any, rule: dict[str, Any], whole: dict[str, Any], where: str) -> bool:
    try:
        conforms(value, whole, rule, where)
    except AssertionError as error:
        if "does not know" in str(error):
            raise
        return False
    return True


def _reference(value: Any, content: str, rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    conforms(value, whole, whole["$defs"][content.rpartition("/")[2]], where)


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def _type(value: Any, content: Any, rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    names = [content] if isinstance(content, str) else content
    fits = any(isinstance(value, _TYPES[name]) and (name == "boolean") == isinstance(value, bool) for name in names)
    assert fits, f"{where}: {value!r} is not {content}"


def _properties(value: Any, content: dict[str, Any], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    if isinstance(value, dict):
        for name, each in content.items():
            if name in value:
                conforms(value[name], whole, each, f"{where}.{name}")


def _additional(value: Any, content: Any, rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    for name in set(value) - set(rule.get("properties", ())) if isinstance(value, dict) else ():
        assert content is not False, f"{where}: {name} is no field of it"
        if isinstance(content, dict):
            conforms(value[name], whole, content, f"{where}.{name}")


def _items(value: Any, content: Any, rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    for number, each in enumerate(value[len(rule.get("prefixItems", ())) :] if isinstance(value, list) else ()):
        assert content is not False, f"{where}: more items than there may be"
        conforms(each, whole, content, f"{where}[{number}]")


def _prefix(value: Any, content: list[Any], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    if isinstance(value, list):
        for number, (each, shape) in enumerate(zip(value, content, strict=False)):
            conforms(each, whole, shape, f"{where}[{number}]")


def _any_of(value: Any, content: list[Any], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    assert any(_matches(value, each, whole, where) for each in content), f"{where}: {str(value)[:200]} fits none of {content}"


def _all_of(value: Any, content: list[Any], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    for each in content:
        conforms(value, whole, each, where)


def _if(value: Any, content: dict[str, Any], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    if _matches(value, content, whole, where):
        conforms(value, whole, rule["then"], where)


def _required(value: Any, content: list[str], rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
    missing = [name for name in content if name not in value] if isinstance(value, dict) else []
    assert not missing, f"{where}: {missing} missing"


def _holds(test: Any) -> Any:
    def check(value: Any, content: Any, rule: dict[str, Any], whole: dict[str, Any], where: str) -> None:
        assert test(value, content), f"{where}: {value!r} against {content!r}"

    return check


_WORDS: dict[str, Any] = {
    "$ref": _reference,
    "type": _type,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "prefixItems": _prefix,
    "anyOf": _any_of,
    "allOf": _all_of,
    "if": _if,
    "then": lambda *_: None,
    "required": _required,
    "const": _holds(lambda value, content: value == content),
    "enum": _holds(lambda value, content: value in content),
    "minItems": _holds(lambda value, content: not isinstance(value, list) or len(value) >= content),
    "maxItems": _holds(lambda value, content: not isinstance(value, list) or len(value) <= content),
    "minimum": _holds(lambda value, content: not isinstance(value, int | float) or value >= content),
    "maximum": _holds(lambda value, content: not isinstance(value, int | float) or value <= content),
}
