"""JSON schemas of tools and answers, as all but Claude take them."""

from megabrain.gateway.dialects.neutral import Json


def of_parameters(schema: object) -> Json:
    """A schema that says it is of an object with properties, without which some refuse it."""
    known: Json = schema if isinstance(schema, dict) else {}
    properties = known.get("properties")
    if known.get("type") == "object" and isinstance(properties, dict):
        return known
    properties = properties if isinstance(properties, dict) else {}
    return {**known, "type": "object", "properties": properties}


def can_be_strict(schema: object) -> bool:
    """Whether OpenAI takes the schema as strict: no object in it has optional or other members."""
    if isinstance(schema, list):
        return all(map(can_be_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        if schema.get("additionalProperties") is not False:
            return False
        if not properties.keys() <= {name for name in required if isinstance(name, str)}:
            return False
        # A member may well be called "properties", and is no list of them.
        others = {name: value for name, value in schema.items() if name != "properties"}
        return all(map(can_be_strict, (*properties.values(), *others.values())))
    return all(map(can_be_strict, schema.values()))
