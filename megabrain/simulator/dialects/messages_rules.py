"""What the Messages API refuses, in the words that agents match on."""

import base64
import hashlib
from typing import Any

from megabrain.simulator.provider import Provider
from megabrain.simulator.refusals import bad_request
from megabrain.simulator.turn import Json, Model, Rule

NO_SAMPLING_SINCE = "2026-10-21"
_VERSIONS = ("2023-01-01", "2023-06-01", NO_SAMPLING_SINCE)
_FIELDS = frozenset(
    """model max_tokens messages system tools tool_choice temperature top_p top_k stop_sequences
    stream metadata thinking service_tier container output_config inference_geo cache_control
    diagnostics speed user_profile_id workspace_id""".split()  # noqa: SIM905 (one name a line would fill the page)
)
_BETA_FIELDS = {
    "context_management": "context-management-",
    "mcp_servers": "mcp-client-",
    "output_format": "structured-outputs-",
    "compaction": "compact",
    "fallbacks": "",
    "safeguards": "",
    "thread": "",
}


def check_version(version: str) -> str:
    if not version:
        raise bad_request("anthropic-version: header is required")
    if version not in _VERSIONS:
        raise bad_request(f'anthropic-version: "{version}" is not a valid version')
    return version


def refuse_unknown(body: Json, betas: str) -> None:
    for name in body:
        beta = _BETA_FIELDS.get(name)
        if name not in _FIELDS and (beta is None or beta not in betas):
            raise bad_request(f"{name}: Extra inputs are not permitted")


def check_options(body: Json, model: Model, version: str) -> None:
    limit = body.get("max_tokens", 0)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise bad_request("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise bad_request("max_tokens: Input should be greater than or equal to 0")
    if limit > model.output:
        raise bad_request(
            f"max_tokens: {limit} > {model.output}, which is the maximum allowed number of output "
            f"tokens for {model.id}"
        )
    for name, default in (("temperature", 1), ("top_p", 1), ("top_k", None)):
        if name not in body:
            continue
        if version >= NO_SAMPLING_SINCE:
            raise bad_request(f"{name}: Extra inputs are not permitted")
        if Rule.SAMPLING in model.refuses and body[name] != default:
            raise bad_request(f"`{name}` is deprecated for this model.")
    if Rule.SAMPLING not in model.refuses and "temperature" in body and "top_p" in body:
        raise bad_request("`temperature` and `top_p` cannot both be specified for this model.")
    choice = (body.get("tool_choice") or {}).get("type")
    if choice in {"any", "tool"} and Rule.FORCED_TOOL in model.refuses:
        raise bad_request("tool_choice: forced tool use is not supported for this model.")


def thinks(body: Json, model: Model) -> bool:
    """Whether the answer starts with thinking, asked for in a way this model takes."""
    thinking = body.get("thinking") or {}
    match thinking.get("type"):
        case "enabled":
            if Rule.THINKING_BUDGET in model.refuses:
                raise bad_request(
                    '"thinking.type.enabled" is not supported for this model. Use '
                    '"thinking.type.adaptive" and "output_config.effort" to control thinking.'
                )
            budget = thinking.get("budget_tokens", 0)
            if budget < 1024:
                raise bad_request(
                    "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
                )
            if "max_tokens" in body and body["max_tokens"] <= budget:
                raise bad_request("`max_tokens` must be greater than `thinking.budget_tokens`.")
            if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
                raise bad_request("Thinking may not be enabled when tool_choice forces tool use.")
            if body.get("temperature", 1) != 1:
                raise bad_request("`temperature` may only be set to 1 when thinking is enabled.")
            check_loop(body["messages"])
            return True
        case "adaptive":
            if Rule.ADAPTIVE_THINKING in model.refuses:
                raise bad_request("adaptive thinking is not supported on this model")
            return True
    return False


def check_messages(messages: list[Any], model: Model, provider: Provider) -> None:
    open_calls: set[str] = set()
    asked: set[str] = set()
    for number, message in enumerate(messages):
        role, blocks = message.get("role"), blocks_of(message)
        _check_role(number, messages, model)
        for position, block in enumerate(blocks):
            _check_block(f"messages.{number}.content.{position}", block, open_calls, provider)
        if role == "assistant":
            open_calls = _calls(number, blocks, asked)
        elif role == "user":
            answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            if missing := open_calls - answered:
                raise bad_request(
                    f"messages.{number - 1}: `tool_use` ids were found without `tool_result` "
                    f"blocks immediately after: {', '.join(sorted(missing))}. Each `tool_use` "
                    "block must have a corresponding `tool_result` block in the next message."
                )
            open_calls = set()
    if messages[-1].get("role") == "assistant":
        _check_prefill(blocks_of(messages[-1]), model)


def _check_role(number: int, messages: list[Any], model: Model) -> None:
    role = messages[number].get("role")
    if role == "system" and Rule.SYSTEM_IN_MESSAGES in model.refuses:
        raise bad_request(
            'messages: Unexpected role "system". The Messages API accepts a top-level '
            '`system` parameter, not "system" as an input message role.'
        )
    if role not in {"user", "assistant", "system"}:
        raise bad_request(f"messages.{number}.role: Input should be 'user' or 'assistant'")
    if role == "system" and (number == 0 or messages[number - 1].get("role") != "user"):
        raise bad_request(f"messages.{number}: `system` must directly follow a `user` message")


def _calls(number: int, blocks: list[Json], asked: set[str]) -> set[str]:
    """The calls of an assistant's message; `asked` are all before it."""
    if blocks and blocks[-1]["type"] in {"thinking", "redacted_thinking"}:
        raise bad_request(
            f"messages.{number}: The final block in an assistant message cannot be `thinking`."
        )
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    if len({*calls, *asked}) < len(calls) + len(asked):
        raise bad_request(f"messages.{number}: `tool_use` ids must be unique")
    asked.update(calls)
    return set(calls)


def _check_prefill(blocks: list[Json], model: Model) -> None:
    if Rule.PREFILL in model.refuses:
        raise bad_request(
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )
    if any(block.get("text", "")[-1:].isspace() for block in blocks[-1:]):
        raise bad_request("messages: final assistant content cannot end with trailing whitespace")


def _check_block(where: str, block: Json, open_calls: set[str], provider: Provider) -> None:
    kind = block.get("type")
    if kind is None:
        raise bad_request(f"{where}.type: Field required")
    parts = content_blocks(block.get("content")) if kind == "tool_result" else [block]
    if isinstance(block.get("content"), list) or kind == "text":
        check_texts("messages", parts)
    if kind == "tool_result" and block.get("tool_use_id") not in open_calls:
        raise bad_request(
            f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: "
            f"{block.get('tool_use_id')}. Each `tool_result` block must have a corresponding "
            "`tool_use` block in the previous message."
        )
    if kind == "thinking" and block.get("signature") != signature(
        block.get("thinking", ""), provider
    ):
        raise bad_request(f"{where}: Invalid `signature` in `thinking` block")


def check_texts(where: str, blocks: list[Json]) -> None:
    for block in blocks:
        if block.get("type") == "text" and not (block.get("text") or "").strip():
            raise bad_request(f"{where}: text content blocks must be non-empty")


def check_loop(messages: list[Any]) -> None:
    """With a budget for thinking, every turn of a loop of tools begins with it."""
    said = [message for message in messages if message.get("role") == "assistant"]
    last: Json = said[-1] if said else {}
    kinds = [block["type"] for block in blocks_of(last)]
    if "tool_use" in kinds and kinds[0] not in {"thinking", "redacted_thinking"}:
        raise bad_request(
            f"messages.{messages.index(last)}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{kinds[0]}`. When `thinking` is enabled, a final "
            "`assistant` message must start with a thinking block."
        )


def check_cache_marks(body: Json) -> None:
    blocks = [*content_blocks(body.get("system")), *(body.get("tools") or [])]
    blocks += [block for message in body["messages"] for block in blocks_of(message)]
    marks = sum("cache_control" in block for block in blocks) + ("cache_control" in body)
    if marks > 4:
        raise bad_request(
            f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."
        )


def signature(text: str, provider: Provider) -> str:
    """Ties a thinking block to the provider that made it, as real signatures do."""
    digest = hashlib.sha256(f"{provider.id}:{text}".encode()).digest()
    return base64.b64encode(digest).decode()


def blocks_of(message: Json) -> list[Json]:
    return content_blocks(message.get("content"))


def content_blocks(content: Any) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content or [] if isinstance(block, dict)]
