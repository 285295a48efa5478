"""InvokeModel of Bedrock for Claude: Messages in Amazon's wrapping."""

from collections.abc import Iterator, Mapping

from megabrain.simulator.dialects import frames, messages
from megabrain.simulator.dialects.frames import GARBAGE, STREAM_HEADERS
from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import bad_request
from megabrain.simulator.turn import Json, Model, Operation, Reply, Turn, Usage

__all__ = ["GARBAGE", "STREAM_HEADERS", "error_event", "read", "stream", "whole"]

_VERSION = "bedrock-2023-05-31"
_BETAS = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "dangerous-tool-use-2026-09-03",
        "effort-2025-11-24",
        "fine-grained-tool-streaming-2025-05-14",
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-tool-changes-2026-07-01",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
    }
)
_TOOL_FIELDS = frozenset(
    {"name", "description", "input_schema", "cache_control", "type"}
    | {"display_width_px", "display_height_px", "display_number", "max_characters"}
)
_SERVER_TOOLS = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_")

whole = messages.whole


def read(
    body: Json,
    headers: Mapping[str, str],
    provider: Provider,
    operation: Operation,
    model: Model,
) -> Turn:
    body = dict(body)
    if "anthropic_version" not in body:
        raise bad_request("anthropic_version: Field required")
    if body.pop("anthropic_version") != _VERSION:
        raise bad_request("anthropic_version: Input should be 'bedrock-2023-05-31'")
    if not _BETAS.issuperset(body.pop("anthropic_beta", [])):
        raise bad_request("invalid beta flag")
    for name in ("model", "stream", "service_tier", "cache_control", "speed"):
        if name in body:
            raise bad_request(f"{name}: Extra inputs are not permitted")
    if "format" in (body.get("output_config") or {}):
        raise bad_request("output_config.format: Extra inputs are not permitted")
    _check_tools(body.get("tools") or [])
    _check_sources(body.get("messages") or [])
    streamed = operation is Operation.INVOKE_STREAM
    # Not through the caller's headers: here, no beta is asked for in those.
    return messages.read(
        {**body, "model": model.id, "stream": streamed}, {}, provider, Operation.MESSAGES
    )


def stream(
    turn: Turn, reply: Reply, usage: Usage, number: int, provider: Provider
) -> Iterator[bytes]:
    for written in messages.stream(turn, reply, usage, number, provider):
        for event in written.split(b"\n\n"):
            data = event.partition(b"data: ")[2]
            if b'"message_stop"' in data:
                data = data[:-1] + b',"amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}'
            if data and b'"ping"' not in data:
                yield frames.chunk(data)


def error_event(body: Json, sequence: int) -> bytes:
    return frames.exception("serviceUnavailableException", body)


def _check_sources(messages: list[Json]) -> None:
    """Nothing is fetched."""
    for number, message in enumerate(messages):
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else []):
            kind = (block.get("source") or {}).get("type")
            if kind in ("url", "file"):
                raise bad_request(
                    f"messages.{number}.content.{at}.{block['type']}.source: Input tag '{kind}' "
                    "found using 'type' does not match any of the expected tags"
                )


def _check_tools(tools: list[Json]) -> None:
    for number, tool in enumerate(tools):
        kind = tool.get("type", "custom")
        if kind.startswith(_SERVER_TOOLS):
            raise bad_request(f"tools.{number}: Input tag '{kind}' found is not supported")
        if unknown := tool.keys() - _TOOL_FIELDS:
            raise bad_request(
                f"tools.{number}.custom.{min(unknown)}: Extra inputs are not permitted"
            )
