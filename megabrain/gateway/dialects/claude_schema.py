"""JSON schemas as Claude takes them.

For answers a subset: every object closed, and what else narrows a value said in its description.
For the arguments of tools: an object at the top, without unions there.
"""

from collections import Counter
from typing import Any

import msgspec

from megabrain.gateway.dialects.base import MAX_DEPTH
from megabrain.gateway.dialects.neutral import Json

#: Keywords that are known, beside those with rules of their own.
_KNOWN = frozenset(
    (
        "$defs",
        "$ref",
        "$schema",
        "const",
        "default",
        "definitions",
        "description",
        "enum",
        "items",
        "properties",
        "required",
        "title",
        "type",
    )
)
_FORMATS = frozenset(
    "date-time time date duration email hostname uri ipv4 ipv6 uuid".split()  # noqa: SIM905 (reads better)
)
_BY_NAME = ("properties", "$defs", "definitions")
_UNIONS = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}


class _Unfit(ValueError):
    """The schema says something that the subset cannot."""


# Any, here and below: a schema is whatever JSON the caller sent.


def for_answers(schema: Json) -> Json | None:
    """The schema in the subset, or None where that would mean something else: objects with names
    of any kind, recursion, and references to elsewhere."""
    try:
        fit = _fit(schema)
        _refuse_recursion(schema, schema, (), set())
    except _Unfit:
        return None
    return fit if isinstance(fit, dict) and fit.get("type") == "object" else None


def for_tools(schema: Json) -> Json:
    """The schema of a tool's arguments: an object with properties, whatever was given."""
    unions = [name for name in ("anyOf", "oneOf", "allOf") if schema.get(name)]
    if not unions:
        if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            return schema
        properties = schema.get("properties")
        typed = {**schema, "type": "object"}
        return {**typed, "properties": properties if isinstance(properties, dict) else {}}
    merged = {name: value for name, value in schema.items() if name not in unions}
    own = schema.get("properties")
    described = [own if isinstance(own, dict) else {}]
    required = dict.fromkeys(_words(schema.get("required")))
    for name in unions:
        options = [option for option in _listed(schema[name]) if isinstance(option, dict)]
        described += [
            found for option in options if isinstance(found := option.get("properties"), dict)
        ]
        needed = Counter(word for option in options for word in set(_words(option.get("required"))))
        everywhere = len(options) if name != "allOf" else 1
        words = (word for option in options for word in _words(option.get("required")))
        required |= {word: None for word in words if needed[word] >= everywhere}
    # What is said first of a property counts; the last option's come first.
    properties = {name: value for found in reversed(described) for name, value in found.items()}
    merged |= {"type": "object", "properties": properties}
    return {**merged, "required": list(required)} if required else merged


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _words(value: Any) -> list[str]:
    return [each for each in _listed(value) if isinstance(each, str)]


def _fit(schema: Any) -> Any:
    if not isinstance(schema, dict):
        if schema is True:
            return {}
        raise _Unfit
    known = {name: _kept(name, value) for name, value in schema.items() if _is_known(name, value)}
    out: Json = {_UNIONS.get(name, name): value for name, value in known.items()}
    if out.get("type") == "object" or "properties" in out:
        if not out.get("properties") and schema.get("additionalProperties") is not False:
            raise _Unfit
        out["additionalProperties"] = False
    left_out = [
        f"{name}: {_said(value)}"
        for name, value in schema.items()
        if name not in known and name != "additionalProperties"
    ]
    if left_out:
        said, described = "; ".join(left_out), out.get("description")
        out["description"] = f"{described} ({said})" if described else said
    return out


def _is_known(name: str, value: Any) -> bool:
    if name == "additionalProperties" and value not in (True, False, {}):
        raise _Unfit
    return name in _KNOWN or name in _UNIONS or (name == "format" and value in _FORMATS)


def _kept(name: str, value: Any) -> Any:
    if name in _BY_NAME and isinstance(value, dict):
        return {key: _fit(each) for key, each in value.items()}
    if name in _UNIONS and isinstance(value, list):
        return [_fit(each) for each in value]
    return _fit(value) if name == "items" else value


def _said(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _refuse_recursion(schema: Any, root: Json, inside: tuple[str, ...], seen: set[str]) -> None:
    """`inside` are the references that led here, `seen` those that lead to no recursion: where
    each refers twice to the next, a few dozen of them would be followed for ever."""
    if isinstance(schema, list):
        for each in schema:
            _refuse_recursion(each, root, inside, seen)
    if not isinstance(schema, dict):
        return
    for name, value in schema.items():
        if name == "$ref":
            reference = str(value)
            if reference in inside or len(inside) > MAX_DEPTH:
                raise _Unfit
            if reference not in seen:
                _refuse_recursion(_at(reference, root), root, (*inside, reference), seen)
                seen.add(reference)
        elif name not in ("$defs", "definitions", "enum", "const", "default"):
            _refuse_recursion(value, root, inside, seen)


def _at(reference: str, root: Json) -> Any:
    found: Any = root
    if not reference.startswith("#/"):
        raise _Unfit
    for name in reference.removeprefix("#/").split("/"):
        if not isinstance(found, dict) or name not in found:
            raise _Unfit
        found = found[name]
    return found
