"""Synthetic: Chat Completions for open-weight models."""

from byok.providers.base import Probe
from byok.providers.listing import DOLLARS_A_TOKEN
from byok.providers.openai_compatible import OpenAICompatible

PROVIDER = OpenAICompatible(
    id="synthetic",
    name="Synthetic",
    base_url="https://api.synthetic.new/v1",
    console_url="https://synthetic.new",
    list_is_public=True,
    price_unit=DOLLARS_A_TOKEN,
    probes=(Probe("GLM-5.1", {"max_tokens": 1}),),
)
