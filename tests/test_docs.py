"""Documentation is held to the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_setting_is_documented_and_every_documented_setting_exists():
    source = (ROOT / "megabrain/settings.py").read_text()
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', source)) | {"MEGABRAIN_UPSTREAM_<PROVIDER>_URL"}
    table = (ROOT / "docs/settings.md").read_text()
    assert set(re.findall(r"^\| `([\w<>]+)` \|", table, re.MULTILINE)) == read
