"""Every error code of the gateway, in words for the person who meets it.

A test holds this list against the gateway's own, so that no error lacks an entry to link to.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """`statuses` is what callers see; the meaning and the remedy are whole sentences."""

    code: str
    statuses: str
    meaning: str
    remedy: str


ERROR_CODES = [
    ErrorCode(
        "invalid_api_key",
        "401",
        "No MegaBrain API token came with the request, or it is unknown, revoked or expired. "
        "Which of these it is, is not said, so that nobody can try tokens out.",
        "Copy the whole token, which begins with mb-, into your agent. If it is lost, revoke it "
        "under API tokens and create another: it cannot be shown again.",
    ),
    ErrorCode(
        "organization_not_found",
        "404; 400 for Responses",
        "The header x-megabrain-organization names no organization that you are a member of, or "
        "another one than that of the API token. Whether there is such an organization is not "
        "said. The call is not made for your personal account instead.",
        "Send the slug or id of one of your organizations, or leave the header out: a token made "
        "for an organization needs none.",
    ),
    ErrorCode(
        "model_not_allowed",
        "403; 400 for Responses",
        "This API token, or your organization, allows certain models only, and the one you named "
        "is not among them. The message says which of the two it was.",
        "Name a model that both allow. A token without the limit is made under API tokens; what "
        "an organization allows is up to its owners.",
    ),
    ErrorCode(
        "model_not_found",
        "404; 400 for Responses",
        "The catalogue has no model of this name. The message lists names that are close.",
        "Use an id from GET /v1/models. Ids begin with the maker, as in openai/gpt-6-luna.",
    ),
    ErrorCode(
        "byok_key_required",
        "404; 400 for Responses",
        "None of your enabled provider keys serves this model, and none of MegaBrain's own does.",
        "Add a key of one of the providers the message names, or switch one on, under "
        "Account → Bring Your Own Key. In an organization only its own keys count, which its "
        "owners and billing managers manage.",
    ),
    ErrorCode(
        "endpoint_not_supported",
        "400",
        "What you asked for can be translated into no dialect in which your keys serve this "
        "model: one for embeddings holds no conversation, and one for conversations makes no "
        "embeddings. The message names the endpoints for this model.",
        "Send the request to an endpoint the message names, or choose another model.",
    ),
    ErrorCode(
        "byok_key_rejected",
        "403; 400 for Responses",
        "The provider does not accept your key: it is wrong, revoked or expired. The key is "
        "marked as failing on its page.",
        "Create a new key in the provider's console and replace the old one with Update.",
    ),
    ErrorCode(
        "byok_no_access",
        "403; 400 for Responses",
        "The provider knows your key, but the key may not use this model, or the provider does not "
        "list it for the key.",
        "Allow the model for the key or its project in the provider's console and test the key "
        "again, or use another model.",
    ),
    ErrorCode(
        "byok_no_credit",
        "403; 400 for Responses",
        "Your account at the provider is out of credit, or has reached a spending limit of its "
        "own. This is not about MegaBrain.",
        "Add credit or raise the limit at the provider. Then test the key, which clears its mark.",
    ),
    ErrorCode(
        "byok_rate_limited",
        "429",
        "The provider limits the calls of your key, and no other key of yours could take over.",
        "Wait as long as retry-after says. If it happens often, ask the provider for a higher "
        "limit, or add a key of another provider that serves the model.",
    ),
    ErrorCode(
        "insufficient_balance",
        "402; 429 for Responses",
        "None of your enabled provider keys serves this model, and your balance does not cover the "
        "most that the call may cost: its whole prompt and the longest answer it allows, at the "
        "model's list price. Nothing was charged. Responses callers read insufficient_quota as "
        "type and code, because Codex stops at that one.",
        "Add credit at the address in the message, or let a provider key of your own serve the "
        "model. A lower limit of output tokens makes less be set aside.",
    ),
    ErrorCode(
        "spend_limit_reached",
        "402; 400 for Responses",
        "The call could take your API token beyond what it may spend in a month, or you beyond "
        "what your organization lets you spend in a day. The message says whose limit it is, what "
        "is left of it and when it begins anew. Calls that provider keys serve are not limited.",
        "Wait until the limit begins anew, have it raised, or let a provider key serve the model.",
    ),
    ErrorCode(
        "balance_frozen",
        "403; 400 for Responses",
        "Nothing is paid from your balance while MegaBrain's operator looks into it. Calls that "
        "your provider keys serve go on.",
        "Ask the operator.",
    ),
    ErrorCode(
        "upstream_unavailable",
        "503; 502, 504 or 529 for Messages",
        "The provider could not be reached, took too long or answered with an error of its own, "
        "also when tried again. Where the message says that it was MegaBrain's own key, nothing "
        "was charged, and there is nothing for you to put right. Responses callers read "
        "server_is_overloaded as its code, because Codex gives up sooner at that one.",
        "Try again in a moment. If it stays so, look at the provider's status page.",
    ),
    ErrorCode(
        "rate_limit_exceeded",
        "429",
        "There were more requests a minute, or at the same time, than MegaBrain, your "
        "organization or the API token itself allows. The message says whose limit it was.",
        "Wait as long as retry-after says. Separate agents can use separate tokens; what an "
        "organization allows each member or token is up to its owners.",
    ),
    ErrorCode(
        "context_length_exceeded",
        "400",
        "The prompt is longer than the model's context.",
        "Shorten the conversation (most agents do so by themselves) or use a model with a longer "
        "context.",
    ),
    ErrorCode(
        "invalid_request",
        "400",
        "The request could not be read: it is not JSON, is nested too deeply, or lacks a field "
        "that routing needs, such as model.",
        "Correct what the message names.",
    ),
    ErrorCode(
        "unsupported_parameter",
        "400",
        "The request asks for something that none of the providers which would serve it can do, "
        "and leaving it out would change what the request means: several answers at once, for "
        "instance, sound, an earlier answer by its id, or a file that was uploaded elsewhere. "
        "The same goes for what a balance does not pay for. "
        "The message names the field, and so does param where the dialect has it.",
        "Leave out the field that the message names, send the conversation or file itself "
        "instead of an id, choose a model of a provider that speaks your dialect, or, where the "
        "message speaks of a balance, use a provider key of your own.",
    ),
    ErrorCode(
        "request_too_large",
        "413; 400 for Responses",
        "The body is larger than 32 MiB, possibly only after decompression.",
        "Send fewer or smaller images, or start a new conversation.",
    ),
    ErrorCode(
        "unsupported_encoding",
        "415; 400 for Responses",
        "The body is compressed in a way the gateway does not read.",
        "Send it as it is, or compressed with gzip or zstd.",
    ),
    ErrorCode(
        "not_found",
        "404",
        "There is nothing at this address, or no request with this id that is yours to see.",
        "Check the address: it ends in /v1, and your client appends the rest.",
    ),
    ErrorCode(
        "method_not_allowed",
        "405",
        "The address exists, but not for this method: a call needs POST, a look-up GET.",
        "Use the method that the allow header names.",
    ),
    ErrorCode(
        "service_unavailable",
        "503",
        "MegaBrain itself cannot serve just now: it is restarting, or a part it needs is away.",
        "Try again in a few seconds.",
    ),
    ErrorCode(
        "internal_error",
        "500",
        "Something broke in MegaBrain itself.",
        "Try again. If it stays so, tell the operator the x-request-id of the answer.",
    ),
]
