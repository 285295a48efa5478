"""The house has one direction of imports: orgs, byok, billing, megabrain, the gateway last."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["orgs", "byok", "billing", "megabrain"]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("app", ORDER)
def test_an_app_imports_only_what_comes_before_it(app: str):
    later = set(ORDER[ORDER.index(app) + 1 :])
    for path in (ROOT / app).rglob("*.py"):
        crossing = {name for name in imports(path) if name.partition(".")[0] in later}
        assert not crossing, f"{path.relative_to(ROOT)} imports {crossing}"


def test_only_the_asgi_entry_imports_the_gateway():
    for app in ORDER:
        for path in (ROOT / app).rglob("*.py"):
            inside = path.is_relative_to(ROOT / "megabrain" / "gateway")
            if inside or path == ROOT / "megabrain" / "asgi.py":
                continue
            gateway = {name for name in imports(path) if name.startswith("megabrain.gateway")}
            assert not gateway, f"{path.relative_to(ROOT)} imports {gateway}"
