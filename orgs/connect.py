"""Which models the set-up shown with a new token names: those that its first call can reach."""

from collections.abc import Sequence
from dataclasses import dataclass

from orgs.catalogue import served_models
from orgs.models import ApiToken


@dataclass(frozen=True, slots=True)
class Example:
    """A model to show in one dialect; `note` says what is missing where it cannot answer yet."""

    model: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """The models to show: one for each dialect, and a small one for Claude Code's side tasks."""

    chat: Example
    responses: Example
    messages: Example
    small: Example

    @classmethod
    def of(cls, token: ApiToken) -> "Examples":
        served = served_models(token.account)

        def example(endpoint: str, favourite: str) -> Example:
            return _example(token, served.get(endpoint, ()), favourite)

        return cls(
            chat=example("chat/completions", "openai/gpt-6-luna"),
            responses=example("responses", "openai/gpt-6-luna"),
            messages=example("messages", "anthropic/claude-sonnet-5.5"),
            small=example("messages", "anthropic/claude-haiku-5.5"),
        )


def _example(token: ApiToken, served: Sequence[str], favourite: str) -> Example:
    allowed, by_account = token.allowed_models, token.account.allowed_models
    permitted = [model for model in served if by_account is None or model in by_account]
    usable = [model for model in permitted if allowed is None or model in allowed]
    if favourite in usable:
        return Example(favourite)
    if usable:
        return Example(usable[0])
    if by_account is not None and favourite not in by_account:
        return Example(
            favourite,
            f"{token.account} does not allow {favourite}: name one that it does, "
            "which the page API tokens lists.",
        )
    if favourite in served:
        return Example(favourite, f"This token may not use {favourite}: name one that it may.")
    needed = f"{favourite} needs a provider key that serves it"
    if allowed is not None and favourite not in allowed:
        return Example(favourite, f"{needed}, and a token that may use it: this one may not.")
    return Example(favourite, f"{needed}, which this account does not have in use.")
