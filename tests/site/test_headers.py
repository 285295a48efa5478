"""What every answer of the site carries (S36)."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import reverse

PUBLIC = ["/", "/docs/", "/docs/errors/", "/status/"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PUBLIC, "/healthz", "/nothing-here/", "/dashboard/"])
def test_the_content_security_policy_has_no_exception(client: Client, path: str):
    policy = client.get(path)["Content-Security-Policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["frame-ancestors"] == "'none'"
    assert directives["base-uri"] == "'none'"
    assert not re.search(r"unsafe|nonce|sha256|data:|https?:|\*", policy)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PUBLIC, "/nothing-here/"])
def test_no_page_has_inline_script_or_style(client: Client, path: str):
    page = client.get(path).content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


@pytest.mark.django_db
def test_signed_in_pages_have_no_inline_script_or_style(owner_client: Client):
    test_no_page_has_inline_script_or_style(owner_client, reverse("dashboard"))


@pytest.mark.django_db
def test_every_asset_is_served_by_us(client: Client):
    page = client.get("/").content.decode()
    for address in re.findall(r'<(?:link|script)[^>]+(?:href|src)="([^"]+)"', page):
        assert address.startswith("/"), address


@pytest.mark.django_db
def test_every_answer_has_its_own_id_and_takes_none_from_the_client(client: Client):
    ids = {client.get("/healthz", headers={"x-request-id": "mine"})["X-Request-Id"] for _ in "ab"}
    assert len(ids) == 2
    assert all(uuid.UUID(each) for each in ids)


@pytest.mark.django_db
def test_the_other_protections_are_on(client: Client):
    response = client.get("/")
    assert response["Referrer-Policy"] == "same-origin"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


@pytest.mark.django_db
def test_private_pages_are_kept_by_no_cache(owner_client: Client):
    for name in ("dashboard", "orgs:tokens", "byok:keys"):
        assert "no-store" in owner_client.get(reverse(name))["Cache-Control"]


@pytest.mark.django_db
def test_a_fragment_and_its_page_are_told_apart_by_caches(client: Client):
    assert "HX-Request" in client.get("/docs/")["Vary"]


@pytest.mark.django_db
def test_a_form_from_elsewhere_is_refused_on_a_page_that_explains(owner: object):
    client = Client(enforce_csrf_checks=True)
    response = client.post(reverse("theme"), {"theme": "dark"})
    assert response.status_code == 403
    assert "This form is out of date" in response.content.decode()
