"""S36: strict CSP, `__Host-` cookies over TLS, CSRF with htmx too, no-store on private pages,
a new session id at every change of rights, and markup in every name and message inert.
"""

import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from billing.models import UsageRecord
from byok.models import KeyTest, ProviderKey
from byok.vault import Secret
from megabrain.site.middleware import CONTENT_SECURITY_POLICY
from orgs.actions import create_token, rename_user
from orgs.models import Account, AuditEvent, User
from orgs.origin import Origin
from tests.chromium import OpenPage
from tests.conftest import signed_in
from tests.production import environment
from tests.visitor import PASSWORD, Visitor

HTMX = {"hx-request": "true", "hx-current-url": "http://testserver/"}
FILLERS = {"uuid": str(uuid.uuid4()), "int": "1", "slug": "some-slug", "str": "text", "path": "a"}
ASSET = "/static/"
#: It takes what is signed and looks at no cookie, so there is no token to forge.
SIGNED = {"/webhooks/stripe/"}
PASSKEY = Path(__file__).parent.parent / "passkey.json"  # What Chromium's own authenticator made.


def addresses(takes_arguments: bool = True) -> list[str]:
    """Every path of the site, arguments filled in with something of their kind."""
    return sorted(set(_paths(get_resolver().url_patterns, "/", takes_arguments)))


def _paths(
    patterns: list[URLPattern | URLResolver], prefix: str, takes_arguments: bool
) -> Iterator[str]:
    for pattern in patterns:
        route = str(pattern.pattern)
        if route.startswith("^"):
            route = re.sub(r"\(\?P<[^>]+>[^)]+\)", "a1", route).strip("^$")
            takes = True
        else:
            takes = "<" in route
            route = re.sub(r"<(?:(\w+):)?\w+>", lambda m: FILLERS[m[1] or "str"], route)
        if takes and not takes_arguments:
            continue
        if isinstance(pattern, URLResolver):
            yield from _paths(pattern.url_patterns, prefix + route, takes_arguments)
        elif not (prefix + route).startswith(ASSET):
            yield prefix + route


@pytest.mark.django_db
def test_every_answer_carries_the_policy(owner_client: Client):
    for path in [*addresses(), "/nothing/here/"]:
        for client in (Client(), owner_client):
            answer = client.get(path)
            assert answer["Content-Security-Policy"] == CONTENT_SECURITY_POLICY, path
            assert answer["X-Content-Type-Options"] == "nosniff", path
            # The address of an invitation is its secret: not even our own pages are told it.
            policy = "strict-origin" if path.startswith("/invitations/") else "same-origin"
            assert answer["Referrer-Policy"] == policy, path


@pytest.mark.django_db
def test_no_page_has_inline_script_style_or_event(owner_client: Client):
    for path in addresses(takes_arguments=False):
        for client in (Client(), owner_client):
            page = client.get(path).content.decode()
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page), path
            for script in re.findall(r"<script[^>]*>", page):
                assert " src=" in script or 'type="application/json"' in script, path


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_every_post_without_its_token_is_refused(owner: User, headers: dict[str, str]):
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(owner).cookies
    before = AuditEvent.objects.count()
    for path in set(addresses()) - SIGNED:
        answer = client.post(path, headers=headers)
        assert answer.status_code == 403, path
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db
def test_a_token_from_another_visitor_s_page_is_refused(owner: User):
    theirs = Client()
    page = theirs.get(reverse("account_login")).content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(owner).cookies
    answer = client.post(reverse("orgs:rename"), {"name": "Other", "csrfmiddlewaretoken": found[1]})
    assert answer.status_code == 403
    assert User.objects.get().name == "Owner"


@pytest.mark.django_db
def test_no_cache_keeps_what_a_signed_in_visitor_sees(owner_client: Client):
    public = {"/healthz", "/readyz"}
    for path in addresses(takes_arguments=False):
        if path not in public:
            assert "no-store" in owner_client.get(path).get("Cache-Control", ""), path


@pytest.mark.django_db
def test_no_cache_keeps_a_form_of_a_visitor(client: Client):
    for name in ("account_login", "account_signup", "account_reset_password"):
        assert "no-store" in client.get(reverse(name))["Cache-Control"]


def test_every_change_of_rights_makes_a_new_session(visitor: Visitor):
    keys = []

    def rotated() -> bool:
        keys.append(visitor.session.session_key)
        return len(keys) == len(set(keys))

    visitor.sign_up()
    assert rotated()
    visitor.confirm()
    assert rotated()
    visitor.send("account_change_password", oldpassword=PASSWORD, password1="marble-candle-77")
    assert rotated()
    visitor.sign_out()
    assert rotated()
    visitor.sign_in(password="marble-candle-77")
    assert rotated()


OVER_TLS = """
import json
import django
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("migrate", verbosity=0)
from orgs.actions import create_user
from orgs.origin import Origin
create_user(email="ann@example.com", password="tulip-lantern-42", email_verified=True,
            origin=Origin())
client = Client(headers={"host": "megabrain.example"})
plain = client.get("/accounts/login/")
page = client.get("/accounts/login/", secure=True)
client.post("/accounts/login/", {"login": "ann@example.com", "password": "tulip-lantern-42"},
            secure=True)
print(json.dumps({
    "plain": [plain.status_code, plain["Location"]],
    "hsts": page["Strict-Transport-Security"],
    "cookies": {name: dict(cookie) for name, cookie in client.cookies.items()},
}))
"""


def test_over_tls_cookies_belong_to_this_host_alone():
    with tempfile.TemporaryDirectory() as home:
        ran = subprocess.run(  # noqa: S603 -- our own Python.
            [sys.executable, "-c", OVER_TLS],
            env={
                **environment(home),
                "DJANGO_SETTINGS_MODULE": "tests.production_settings",
                "DATABASE_URL": f"sqlite:///{home}/tls.sqlite3",
                "REDIS_URL": "",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["plain"] == [301, "https://megabrain.example/accounts/login/"]
    assert "includeSubDomains" in told["hsts"]
    assert set(told["cookies"]) == {"__Host-session", "__Host-csrf"}
    for name, cookie in told["cookies"].items():
        assert cookie["secure"] is True, name
        assert cookie["httponly"] is True, name
        assert cookie["path"] == "/", name
        assert cookie["domain"] == "", name
        assert cookie["samesite"] == "Lax", name


# Markup ------------------------------------------------------------------------------------

MARKUP = (
    "\"'><img src=x onerror=document.title='pwned'>"
    "<script>document.title='pwned'</script>{{ 7|add:7 }}</template><b>"
)


@pytest.fixture
def marked(owner: User, account: Account) -> ProviderKey:
    """Markup in every name and message that somebody else may choose."""
    origin = Origin(user_agent=MARKUP)
    rename_user(actor=owner, name=MARKUP[:100], origin=origin)
    create_token(actor=owner, account=account, name=MARKUP[:60], origin=origin)
    with transaction.atomic():
        Authenticator.objects.create(
            user=owner,
            type="webauthn",
            data={"name": MARKUP, "credential": json.loads(PASSKEY.read_text())},
        )
    UserSession.objects.update(user_agent=MARKUP)
    key = ProviderKey.objects.create(
        account=account,
        provider="anthropic",
        secret=Secret("sk-ant-api03-sim-401-0123456789abcdef"),
        hint=MARKUP[:40],
        health=ProviderKey.Health.FAILING,
        health_code="rejected",
        health_message=MARKUP,
    )
    KeyTest.objects.create(
        key=key,
        state="failed",
        code="rejected",
        message=MARKUP,
        model=MARKUP,
        finished_at=timezone.now(),
    )
    UsageRecord.objects.create(
        account_id=account.pk,
        user_id=owner.pk,
        endpoint="messages",
        model=MARKUP,
        upstream_model=MARKUP,
        provider="anthropic",
        provider_key_id=key.pk,
        payer="byok",
        status=401,
        outcome="rejected",
        latency_ms=1,
        client=MARKUP[:120],
        created_at=timezone.now(),
    )
    return key


def marked_pages(key: ProviderKey) -> list[str]:
    newest = AuditEvent.objects.newest_first().values_list("sequence", flat=True)[:3]
    passkey = Authenticator.objects.get(type="webauthn")
    return [
        *(path for path in addresses(takes_arguments=False) if not path.endswith("logout/")),
        *(reverse("orgs:activity_event", args=[sequence]) for sequence in newest),
        *(reverse(f"byok:{page}", args=[key.pk]) for page in ("details", "update", "delete")),
        reverse("orgs:token_revoke", args=[key.account.api_tokens.get().pk]),
        reverse("mfa_edit_webauthn", args=[passkey.pk]),
        reverse("mfa_remove_webauthn", args=[passkey.pk]),
    ]


@pytest.mark.django_db
def test_markup_reaches_every_page_as_text(marked: ProviderKey, owner: User):
    client = signed_in(owner)
    shown = 0
    for path in marked_pages(marked):
        page = client.get(path).content.decode()
        assert "<img src=x" not in page, path
        assert "<script>document" not in page, path
        assert "14" not in re.findall(r"script&gt;(\d+)&lt;/template", page), path
        shown += "&lt;img src=x" in page
    assert shown > 5


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_markup_does_nothing_in_a_browser(marked: ProviderKey, owner: User, open_page: OpenPage):
    client = signed_in(owner)
    page = open_page(client)
    for path in marked_pages(marked):
        answer = client.get(path)
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            page.goto(path)
            assert page.title() != "pwned", path
            assert page.locator("img[src=x]").count() == 0, path
