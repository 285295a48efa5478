"""The set-up that the page of a new token shows for an agent, as somebody would copy it."""

import re
import shlex
import uuid
from dataclasses import dataclass
from html import unescape

from django.test import Client
from django.urls import reverse

_AGENT = re.compile(r"<summary>(?:<svg.*?</svg>)?([^<]+)</summary>(.*?)</details>", re.DOTALL)
_BLOCK = re.compile(
    r'<div class="code-head">|<figcaption class="code-head">\s*<span>(.*?)</span>'
    r".*?<code data-copy-text>(.*?)</code>",
    re.DOTALL,
)


@dataclass(frozen=True)
class SetUp:
    """Blocks of code by their titles: "Shell", or the name of the file that they belong in."""

    blocks: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """What the shell exports."""
        lines = [shlex.split(line) for line in self.blocks["Shell"].splitlines()]
        exports = [words[1] for words in lines if words[0] == "export"]
        return dict(each.split("=", 1) for each in exports)

    @property
    def arguments(self) -> list[str]:
        """What the agent is started with."""
        return shlex.split(self.blocks["Shell"].splitlines()[-1])[1:]


def shown_with_a_new_token(client: Client, agent: str, **fields: object) -> SetUp:
    """Makes a token on its page, and reads there how `agent` is set up with it."""
    form = {"id": str(uuid.uuid4()), "name": agent, **fields}
    page = client.post(reverse("orgs:token_create"), form).content.decode()
    blocks = _BLOCK.findall(dict(_AGENT.findall(page))[agent])
    return SetUp({unescape(title): unescape(code) for title, code in blocks})
