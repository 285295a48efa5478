"""What people and organizations may be called: names are in letters to strangers."""

import pytest
from django.core.management import CommandError
from django.urls import reverse

from orgs.models import Account, User
from tests.orgs.test_commands import run
from tests.visitor import PASSWORD, Visitor

WRONG = {
    "a bell": "a\x07b",
    "escape": "\x1b[31mred",
    "nul": "a\x00b",
    "right to left": "a\u202eb",
    "an isolate": "\u2066a\u2069",
    "a mark of direction": "a\u200fb",
    "no width": "a\u200bb",
    "a soft hyphen": "a\u00adb",
    "blank": "\u3164",
    "a blank inside": "a\u2800b",
    "half-width blank": "\uffa0",
    "no letter but a blank syllable": "\u115f\u1160",
    "a link": "Win at https://x.example",
    "another link": "ftp://x",
    "a link without scheme": "(WWW.x.example)",
}
OPERATOR = ("create_user", "--email", "a@example.com", "--password-stdin")
names = pytest.mark.parametrize("name", WRONG.values(), ids=WRONG)


@names
def test_nobody_is_renamed_so(ann: Visitor, name):
    answer = ann.send("orgs:rename", name=name)
    assert answer.status_code == 422
    assert User.objects.get().name == "Ann"
    assert Account.objects.get(user__isnull=False).name == "Ann"


@names
def test_nobody_signs_up_so(visitor: Visitor, name):
    visitor.sign_up(name=name)
    assert not User.objects.exists()


@names
@pytest.mark.django_db
def test_the_operator_makes_nobody_called_so(name):
    with pytest.raises(CommandError, match=r"printed|link|Null"):
        run(*OPERATOR, "--name", name, stdin=f"{PASSWORD}\n")
    assert not User.objects.exists()


@names
def test_no_organization_is_called_so(owner_client, organization, name):
    answer = owner_client.post(reverse("orgs:organization_create"), {"name": name, "slug": "other"})
    assert answer.status_code == 422
    answer = owner_client.post(
        reverse("orgs:settings", args=["acme"]), {"name": name, "slug": "acme"}
    )
    assert answer.status_code == 422
    assert Account.objects.get(kind="organization").name == "Acme"


@pytest.mark.parametrize(
    "name", ["Zoë Ångström", "日本 太郎", "O’Neil & Söhne (Wien)", "мария", "1:1"]
)
def test_names_of_all_alphabets_are_names(ann: Visitor, name):
    assert ann.send("orgs:rename", name=f"  {name} ").status_code == 302
    assert User.objects.get().name == name
