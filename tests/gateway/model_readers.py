"""What the programs that read the list of models need of an entry, and what they do with it.

Written down from their sources as of November 2026 (clients.md § 8): by field, which kinds of value
they can read, and why. "absent" is among them where they can do without; what is not there is
otherwise refused, and with it often the whole list.
"""

from typing import Any, NamedTuple


class Field(NamedTuple):
    path: str
    kinds: tuple[str, ...]
    why: str


#: A dot goes into an object.
READERS: dict[str, tuple[Field, ...]] = {
    "OpenAI SDK, Continue, Cline's compatible kind": (
        Field("id", ("string",), "what is sent as the model"),
        Field("object", ("string",), "always model"),
        Field("created", ("integer",), "seconds since 1970"),
        Field("owned_by", ("string",), "shown"),
        Field("shutdown_date", ("string", "null", "absent"), "a warning"),
    ),
    "Anthropic SDK": (
        Field("type", ("string",), "always model"),
        Field("id", ("string",), "what is sent as the model"),
        Field("display_name", ("string",), "shown"),
        Field("created_at", ("string",), "parsed as RFC 3339"),
        Field("lifecycle", ("string",), "active, deprecated or retired"),
        Field("max_input_tokens", ("integer", "null", "absent"), "the context"),
        Field("max_tokens", ("integer", "null", "absent"), "the limit of output"),
        # An object of its own with some twenty flags; a list there breaks whoever looks inside.
        Field("capabilities", ("null", "absent"), "an object that is not to be guessed"),
    ),
    "Claude Code": (
        Field("id", ("string",), "kept if it has claude or anthropic in it"),
        Field("display_name", ("string",), "the name in its picker"),
        Field("description", ("string", "absent"), "the line below it"),
    ),
    # One zod schema for the whole list: an entry that does not fit makes the picker empty.
    "Kilo Code": (
        Field("id", ("string",), "also says the family"),
        Field("name", ("string",), "shown"),
        Field("description", ("string", "absent"), "shown; null does not fit"),
        Field("context_length", ("integer",), "the context, and a fifth of it for the output"),
        Field("max_completion_tokens", ("integer", "null", "absent"), "the limit of output"),
        Field("top_provider.max_completion_tokens", ("integer", "null", "absent"), "the same"),
        Field("pricing", ("object", "absent"), "without it no costs are shown; null does not fit"),
        Field("pricing.prompt", ("string", "null", "absent"), "dollars a token"),
        Field("pricing.completion", ("string", "null", "absent"), "dollars a token"),
        Field("pricing.input_cache_read", ("string", "null", "absent"), "dollars a token"),
        Field("pricing.input_cache_write", ("string", "null", "absent"), "dollars a token"),
        Field("architecture.input_modalities", ("list", "null", "absent"), "attachments: image"),
        Field("architecture.output_modalities", ("list", "null", "absent"), "image is left out"),
        Field("architecture.tokenizer", ("string", "null", "absent"), "not used"),
        # tools: shown at all; reasoning: efforts; temperature: sent. An empty list stands for all.
        Field("supported_parameters", ("list", "absent"), "what is asked of the model"),
        Field("isFree", ("boolean", "absent"), "its own gateway's"),
        Field("opencode", ("object", "absent"), "its own gateway's"),
    ),
    "Roo Code": (
        Field("id", ("string",), "some ids change how thinking is asked for"),
        Field("name", ("string",), "its schema wants one"),
        Field(
            "context_length", ("integer",), "the context; a fifth if no limit of output is there"
        ),
        Field("description", ("string", "absent"), "shown"),
        Field("pricing", ("object", "absent"), "a cache price means that prompts are cached"),
        Field("architecture.output_modalities", ("list", "null", "absent"), "image is left out"),
        Field("supported_parameters", ("list", "absent"), "reasoning: offers efforts"),
    ),
    "Cline": (
        Field("id", ("string",), "what is sent as the model"),
        Field("name", ("string",), "shown"),
        Field("context_length", ("integer",), "the context"),
        Field("top_provider.max_completion_tokens", ("integer", "null", "absent"), "the limit"),
        Field("architecture.modality", ("string",), "sees images if image is in it"),
        Field("pricing.prompt", ("string", "absent"), "dollars a token"),
        Field("supported_parameters", ("list", "absent"), "include_reasoning: thinking"),
    ),
    # It is configured by hand, with models.dev's words; plugins fill them in from these.
    "opencode": (
        Field("id", ("string",), "the name of the entry"),
        Field("name", ("string",), "shown"),
        Field("context_length", ("integer",), "limit.context"),
        Field("top_provider.max_completion_tokens", ("integer", "null", "absent"), "limit.output"),
        Field("supported_parameters", ("list", "absent"), "tool_call, reasoning, temperature"),
        Field("architecture.input_modalities", ("list", "absent"), "attachment"),
        Field("pricing.prompt", ("string", "absent"), "cost.input"),
    ),
}


def misfits(entry: dict[str, Any]) -> list[str]:
    """What some reader could not read of an entry."""
    return [
        f"{reader}: {field.path} is {kind} ({field.why})"
        for reader, fields in READERS.items()
        for field in fields
        if (kind := _kind(entry, field.path)) not in field.kinds
    ]


def _kind(entry: Any, path: str) -> str:
    name, _, rest = path.partition(".")
    if not isinstance(entry, dict) or name not in entry:
        return "absent"
    value = entry[name]
    if rest:
        return _kind(value, rest)
    kinds = {str: "string", int: "integer", list: "list", dict: "object", bool: "boolean"}
    return "null" if value is None else kinds.get(type(value), "something else")
