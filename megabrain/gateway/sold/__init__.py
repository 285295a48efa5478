"""What a balance can pay for: tokens, at their list price, and nothing that is kept afterwards.

MegaBrain's own accounts at the providers serve everybody. So of a request only what is known to
cost nothing but tokens goes there. Whatever else it says is left out where it only tunes, and the
request refused where it is about that: about what is billed apart, or kept there, for the next
caller could ask for it. It is refused as well where it cannot be read.
"""

from collections.abc import Sequence
from dataclasses import replace

from byok.providers.base import Endpoint, Fields
from byok.providers.quirks import without
from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.chat.shapes import is_responses
from megabrain.gateway.dialects.completions.shapes import SEVERAL
from megabrain.gateway.dialects.translation import Inexpressible
from megabrain.gateway.sold.content import with_content
from megabrain.gateway.sold.reading import given, packed, read
from megabrain.gateway.sold.tools import with_tools

#: What is looked into piece by piece, or is a text in one of the many forms of a prompt.
_LONG = frozenset(
    {"messages", "input", "prompt", "suffix", "system", "instructions", "tools", "functions"}
)
#: What goes on, whatever the dialect. No other field does: it may choose another model, change what
#: a token costs, or have something done that is billed apart, as providers think of it.
_PASSED = _LONG | frozenset(
    """model stream stream_options n best_of echo include truncation
    max_tokens max_completion_tokens max_output_tokens min_tokens
    temperature top_p top_k top_a min_p typical_p seed random_seed do_sample stop stop_sequences
    stop_token_ids frequency_penalty presence_penalty repetition_penalty length_penalty
    logit_bias logprobs top_logprobs ignore_eos skip_special_tokens
    tool_choice parallel_tool_calls max_tool_calls function_call tool_stream
    response_format text output_config output_format verbosity
    guided_json guided_regex guided_choice guided_grammar structured_outputs
    reasoning reasoning_effort reasoning_format reasoning_split include_reasoning
    separate_reasoning thinking thinking_budget enable_thinking preserve_thinking clear_thinking
    chat_template_kwargs chat_template_args prompt_mode safe_prompt
    cache_control context_management prompt_cache_key prompt_cache_retention
    metadata client_metadata user safety_identifier language_preference
    dimensions encoding_format input_type output_dimension output_dtype task truncate""".split()  # noqa: SIM905 (one name a line would fill the page)
)
#: Answers that are kept, or asked for later.
_KEPT = ("previous_response_id", "conversation", "background", "container", "thread")
#: What is left out without a word: callers get what they ask for by these all the same.
_UNTOLD = ("store", "modalities", "usage", "stream_options")


def sold(ask: Ask, endpoint: Endpoint) -> tuple[Ask, Sequence[str]]:
    """The request as MegaBrain's own keys serve it, and the names of what was left out.

    Raises Inexpressible for one that is about something else than tokens, or cannot be read.
    """
    fields = ask.fields
    of_responses = endpoint is Endpoint.RESPONSES or (
        endpoint is Endpoint.CHAT and is_responses(fields)
    )
    _refuse(fields, (*_KEPT, "prompt") if of_responses else _KEPT)
    left_out = [name for name in fields if name not in _PASSED]
    fields = without(fields, *left_out)
    left_out = [name for name in left_out if name not in _UNTOLD]
    if of_responses:
        # It is kept unless told otherwise.
        fields = {**fields, "store": packed(False)}
    if endpoint is not Endpoint.RESPONSES:
        # Where it takes an option to hear of the usage, the dialect says so, and nothing else.
        fields = without(fields, "stream_options")
    for name in fields.keys() - _LONG:
        read(fields, name)
    fields = _with_edits(fields, left_out)
    if endpoint is not Endpoint.EMBEDDINGS:
        fields = with_content(fields, left_out)
    return replace(ask, fields=with_tools(fields, left_out)), left_out


def _refuse(fields: Fields, kept: Sequence[str]) -> None:
    """Raises Inexpressible for what the request is about, and a balance does not pay for."""
    for name in kept:
        if read(fields, name):
            raise Inexpressible(
                f"{name} works only with a provider key of your own: without one, nothing is kept "
                "at the provider between calls. Send all of the conversation, and no such field.",
                name,
            )
    wanted = read(fields, "modalities")
    if read(fields, "audio") or (wanted and wanted != ["text"]):
        raise Inexpressible(
            "A balance pays for answers in text. For any other, use a provider key of your own.",
            "modalities",
        )
    for name in SEVERAL:
        number = read(fields, name)
        if number is not None and (type(number) is not int or number < 1):
            # Some hosts read more out of it than a number.
            raise Inexpressible(f"{name} must be a whole number from 1 on.", name)


def _with_edits(fields: Fields, left_out: list[str]) -> Fields:
    """What is taken out of a conversation costs nothing. To have it summed up takes another call,
    for which nothing would be set aside."""
    if not given(fields, "context_management"):
        return fields
    wanted = read(fields, "context_management")
    edits = wanted.get("edits") if isinstance(wanted, dict) else None
    kept = [
        edit
        for edit in (edits if isinstance(edits, list) else ())
        if isinstance(edit, dict) and str(edit.get("type")).startswith("clear_")
    ]
    if not isinstance(edits, list) or len(kept) < len(edits):
        left_out.append("context_management")
    if not kept:
        return without(fields, "context_management")
    return {**fields, "context_management": packed({"edits": kept})}
