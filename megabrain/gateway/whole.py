"""An answer in one piece, from the provider to the caller."""

from time import perf_counter

from byok.providers.base import Endpoint
from megabrain.gateway.attempts import Failed, too_long, unavailable
from megabrain.gateway.exchange import Exchange
from megabrain.gateway.heard import Heard
from megabrain.gateway.key_health import KeyHealth
from megabrain.gateway.metering import BYTES_PER_TOKEN
from megabrain.gateway.reply import Headers
from megabrain.gateway.telling import Telling
from megabrain.gateway.turns import in_turns

MAX_ANSWER = 32 * 1024 * 1024
WHY_TOO_LONG = "sent an answer that is too long"
#: The server takes a piece whatever its size, and waits for its reader only between two.
IN_ONE_PIECE = 64 * 1024


async def pass_on_whole(
    heard: Heard, exchanged: Exchange, telling: Telling, health: KeyHealth
) -> Failed | None:
    """Read all of it and pass it on, or say why it is no answer."""
    said = await heard.body(MAX_ANSWER)
    if len(said) > MAX_ANSWER:
        return _too_long(heard, telling, len(said))
    whole = await in_turns(lambda: exchanged.whole(said), len(said))
    if whole is None:
        return heard.not_an_answer(said)
    call, body = heard.call, whole.body
    call.served_by = heard.candidate
    telling.count(whole.usage, _written(heard, len(body)))
    heard.attempt.end("ok", heard.answer.status)
    call.status, call.outcome = 200, "ok"
    call.first_byte_at = perf_counter()
    health.worked(heard.candidate.key)
    if len(body) <= IN_ONE_PIECE:
        await telling.send(telling.reply.whole(200, body, heard.returned()))
    else:
        await _in_pieces(body, heard.returned(), telling)
    return None


def _too_long(heard: Heard, telling: Telling, size: int) -> Failed:
    """What nobody is passed. Where it went out on a balance, whoever asked for it pays, since the
    provider has done all of it, and no other key does it once more."""
    if heard.candidate.own:
        return unavailable(heard.candidate, WHY_TOO_LONG)
    heard.call.served_by = heard.candidate
    telling.count(None, _written(heard, size))
    return too_long(heard.candidate, WHY_TOO_LONG)


def _written(heard: Heard, size: int) -> int:
    """The tokens of an answer of so many bytes, at a guess."""
    # An embedding is long, and was not written by a model.
    written = 0 if heard.call.endpoint is Endpoint.EMBEDDINGS else size
    return -(-written // BYTES_PER_TOKEN)


async def _in_pieces(body: bytes, headers: Headers, telling: Telling) -> None:
    """A long answer, no quicker than its caller reads it."""
    reply = telling.reply
    await telling.send(reply.start_whole(200, len(body), headers))
    for at in range(0, len(body), IN_ONE_PIECE):
        await telling.send(reply.write(body[at : at + IN_ONE_PIECE]))
        if reply.gone:
            return
    await telling.send(reply.end())
