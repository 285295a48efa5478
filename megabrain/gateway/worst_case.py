"""The most that a call can use, so that enough is set aside before it.

It errs upwards, and only so far: whatever a call takes beyond it is not charged.
"""

import re
from dataclasses import dataclass
from heapq import nlargest

import msgspec

from billing.prices import most_micros
from byok.providers.base import Endpoint
from byok.providers.quirks import value
from megabrain.gateway.call import Call
from megabrain.gateway.dialects.base import Ask
from megabrain.gateway.dialects.chat.shapes import is_responses
from megabrain.gateway.dialects.completions.shapes import SEVERAL
from megabrain.gateway.dialects.converse.families import family
from megabrain.gateway.metering import BYTES_PER_TOKEN
from megabrain.gateway.routing import Candidate, Route

#: What providers add to a prompt: the frame of a conversation, how to call tools, a tool of theirs
#: that goes by its name alone.
ADDED_TOKENS = 2048
#: No provider counts more for a picture, however few bytes it has.
PICTURE_TOKENS = 16_384
#: What is usually counted for one.
USUAL_PICTURE_TOKENS = 1600
#: For a model of which nobody knows the limits.
LARGEST_PROMPT = 1024 * 1024
LARGEST_OUTPUT = 128 * 1024

#: A body is searched piece by piece: an expression lets nobody else have a turn until it is done.
_PIECE = 64 * 1024
#: None of the expressions finds anything longer.
_OVERLAP = 64
_PICTURE = re.compile(rb'"(?:image|image_url|input_image)"')
#: Whose length its bytes do not tell: what is fetched, or packed, or kept elsewhere. With the last
#: of these Fireworks reads a picture as a book.
_OF_ANY_LENGTH = re.compile(
    rb'"(?:document|file|input_file|file_id|file_url|file_data)"'
    rb"|transform(?:=|\\u003[dD])inline"
    # A letter that is written as an escape, as no client does, could hide one of these.
    rb"|\\u00(?:4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
)
#: Where such a word is the name of an argument, and nothing is sent.
_DEFINITIONS = ("tools", "functions", "response_format")
#: Where it is said what a picture is, and where that is one indeed, or something else is said.
_SAYS_WHAT = re.compile(rb'"(?:url|image_url|media_type)"')
_IS_PICTURE = re.compile(
    rb'"(?:url|image_url|media_type)"\s{0,8}(?:[,\]}]|:\s{0,8}(?:\{|"(?:data:)?image/))'
)
#: So many bytes of nothing else are no text.
_PACKED = 1024
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_"

#: By the caller's endpoint, the fields that limit the output. Where there are several, any may be
#: the one that counts.
_LIMITS = {
    Endpoint.CHAT: ("max_completion_tokens", "max_tokens"),
    Endpoint.RESPONSES: ("max_output_tokens",),
    Endpoint.MESSAGES: ("max_tokens",),
    Endpoint.COMPLETIONS: ("max_tokens",),
    Endpoint.FIM: ("max_tokens",),
}
#: Where a part that is to be a picture is one, or refused. Elsewhere whatever it is may be taken.
_ONLY_PICTURES = (
    *(Endpoint.RESPONSES, Endpoint.MESSAGES),
    *(Endpoint.INVOKE_MODEL, Endpoint.CONVERSE),
)
#: Fields of which every item is a prompt of its own.
_PROMPTS = {Endpoint.EMBEDDINGS: "input", Endpoint.COMPLETIONS: "prompt"}
#: Some hosts refuse a smaller limit, and are given this one instead.
_LEAST_OUTPUT = 16
#: Claude thinks for no less, if it is to, and what is asked for besides may be added to it.
_LEAST_BUDGET = 1024


@dataclass(frozen=True, slots=True)
class Size:
    """What the bytes of a request tell of its prompt, whoever is asked."""

    bytes: int
    pictures: int = 0
    #: Its bytes do not tell how long it is.
    of_any_length: bool = False
    #: What is sent as a picture may be a film or a book.
    uncertain: bool = False
    #: How many bytes of it are pictures, and how many of these there are.
    packed: int = 0
    files: int = 0

    @property
    def usual(self) -> int:
        """Tokens at a guess."""
        text = -(-(self.bytes - self.packed) // BYTES_PER_TOKEN)
        return text + self.files * USUAL_PICTURE_TOKENS


def size_of(ask: Ask) -> Size:
    """For a thread, if it is long."""
    body = ask.body
    pictures = said = plain = 0
    for at in range(0, len(body), _PIECE):
        piece = body[at : at + _PIECE + _OVERLAP]
        # What is in both of two pieces counts twice.
        pictures += len(_PICTURE.findall(piece))
        said += len(_SAYS_WHAT.findall(piece))
        plain += len(_IS_PICTURE.findall(piece))
    of_any_length = any(
        _is_of_any_length(raw) for name, raw in ask.fields.items() if name not in _DEFINITIONS
    )
    uncertain = pictures > 0 and said > plain
    # No more of it can be pictures than are said to be there: a text may do without blanks too.
    as_pictures = pictures if not of_any_length and not uncertain else 0
    runs = nlargest(as_pictures, _packed(body)) if as_pictures else []
    return Size(len(body), pictures, of_any_length, uncertain, sum(runs), len(runs))


def _is_of_any_length(raw: msgspec.Raw) -> bool:
    value = memoryview(raw)
    return any(
        _OF_ANY_LENGTH.search(value[at : at + _PIECE + _OVERLAP]) is not None
        for at in range(0, len(value), _PIECE)
    )


def _packed(body: bytes) -> list[int]:
    """The lengths of the runs of what may be base64. Short ones are not looked for."""
    runs: list[int] = []
    before = False
    for at in range(0, len(body), _PACKED):
        piece = body[at : at + _PACKED]
        now = len(piece) == _PACKED and not piece.translate(None, _BASE64)
        if now and before:
            runs[-1] += len(piece)
        elif now:
            runs.append(len(piece))
        before = now
    return runs


def most(call: Call, ask: Ask, route: Route, size: Size) -> int:
    """The most that the call can cost with any of the keys of the route, in micro-dollars."""
    return max(_most(call, ask, candidate, size) for candidate in route.candidates)


def _most(call: Call, ask: Ask, candidate: Candidate, size: Size) -> int:
    prompt = _prompt(call.endpoint, ask, candidate, size)
    output = _output(call.endpoint, ask, candidate)
    found = most_micros(candidate.offer.prices, call.created_at, prompt, output)
    if found is None:
        # It would be served for nothing.
        raise ValueError(f"{candidate.offer.upstream_id} has no price at {call.created_at}.")
    return found


def _prompt(asked_at: Endpoint, ask: Ask, candidate: Candidate, size: Size) -> int:
    """A token has a byte at least, and no prompt is longer than the model's context."""
    context = (candidate.offer.context or LARGEST_PROMPT) * _prompts(asked_at, ask)
    any_file = size.uncertain and candidate.endpoint not in _ONLY_PICTURES
    if size.of_any_length or any_file:
        return context
    return min(context, size.bytes + ADDED_TOKENS + size.pictures * PICTURE_TOKENS)


def _output(asked_at: Endpoint, ask: Ask, candidate: Candidate) -> int:
    if asked_at is Endpoint.EMBEDDINGS:
        return 0
    own = candidate.max_output or candidate.offer.context or LARGEST_OUTPUT
    limit = _limit(asked_at, ask, candidate)
    if limit is None:
        limit = own
    elif candidate.endpoint is not asked_at:
        limit += max(_LEAST_BUDGET, _budget(ask))
    return min(limit, own) * _answers(ask) * _prompts(asked_at, ask)


def _limit(asked_at: Endpoint, ask: Ask, candidate: Candidate) -> int | None:
    """The limit of output that the provider will be told, or a higher one; None for none."""
    if candidate.provider.reasoning_apart:
        return None
    if candidate.endpoint is Endpoint.CONVERSE and family(candidate.offer.upstream_id).unlimited:
        # Such a model reasons without a limit, if it is to reason much.
        return None
    names = _LIMITS.get(asked_at, ())
    if asked_at is Endpoint.CHAT and is_responses(ask.fields):
        names = (*names, *_LIMITS[Endpoint.RESPONSES])
    given = [found for name in names if (found := value(ask.fields, name)) is not None]
    limits = [each for each in given if type(each) is int and each > 0]
    if not limits or len(limits) < len(given):
        # What is no whole number is no limit to some.
        return None
    return max(*limits, _LEAST_OUTPUT)


def _budget(ask: Ask) -> int:
    """Tokens that are asked for to think with, in any of the ways to say so."""
    reasoning, thinking = value(ask.fields, "reasoning"), value(ask.fields, "thinking")
    said = [
        reasoning.get("max_tokens") if isinstance(reasoning, dict) else None,
        thinking.get("budget_tokens") if isinstance(thinking, dict) else None,
    ]
    return max((each for each in said if isinstance(each, int)), default=0)


def _answers(ask: Ask) -> int:
    """How many answers are asked for. What is no whole number is not sold (sold/)."""
    wanted = [value(ask.fields, name) for name in SEVERAL]
    return max([1, *(each for each in wanted if isinstance(each, int))])


def _prompts(asked_at: Endpoint, ask: Ask) -> int:
    """How many prompts there are; a list of numbers is one, in tokens."""
    found = value(ask.fields, _PROMPTS[asked_at]) if asked_at in _PROMPTS else None
    if isinstance(found, list) and not all(isinstance(each, int) for each in found):
        return len(found)
    return 1
