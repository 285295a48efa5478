"""Those who manage a key are told once when it starts to fail."""

from datetime import timedelta

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import reverse
from django.utils import timezone

from byok.actions import add_key, set_enabled, set_on_failure, update_key
from byok.health import Sighting, store_sightings
from byok.models import CatalogueSource, ProviderKey
from byok.providers.base import Outcome
from byok.tasks import tell_of_catalogue, tell_of_failing_keys
from byok.vault import Secret
from orgs.models import Account
from orgs.origin import Origin
from tests.together import at_once

SECRET = "sk-ant-api03-" + "0123456789" * 3


def see(
    key: ProviderKey, health: ProviderKey.Health, *, code: str = "", later: timedelta = timedelta()
) -> None:
    """What the gateway stores when a call showed how the key is doing."""
    key.refresh_from_db()
    store_sightings(
        [
            Sighting(
                key_id=key.pk,
                account_id=key.account_id,
                provider=key.provider,
                secret_changed_at=key.secret_changed_at,
                health=health,
                code=code,
                model="anthropic/claude-haiku-5.5",
                at=timezone.now() + later,
            )
        ]
    )


def fails(key: ProviderKey, *, later: timedelta = timedelta()) -> None:
    see(key, ProviderKey.Health.FAILING, code=Outcome.REJECTED, later=later)


@pytest.fixture
def key(owner, account):
    return add_key(
        actor=owner,
        account=account,
        provider="anthropic",
        secret=Secret(SECRET),
        origin=Origin(),
    )


def test_the_owner_of_a_personal_key_is_told_once(key, owner, mailoutbox, settings):
    tell_of_failing_keys()
    assert mailoutbox == []
    fails(key)
    tell_of_failing_keys()
    tell_of_failing_keys()
    (letter,) = mailoutbox
    assert letter.to == [owner.email]
    assert letter.subject == "Your Anthropic key is failing"
    assert "rejected this key" in letter.body
    assert f"{settings.MEGABRAIN_BASE_URL}/account/byok/" in letter.body
    assert SECRET[-8:] not in letter.body + letter.alternatives[0][0]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("error", "Where there is none, they fail."),
        (
            "balance",
            "Where there is none, they draw on the balance, as chosen for this key",
        ),
    ],
)
def test_the_letter_says_what_was_chosen_for_when_no_key_serves(
    key, owner, mailoutbox, choice, said
):
    choice = ProviderKey.OnFailure(choice)
    set_on_failure(actor=owner, key=key, on_failure=choice, origin=Origin())
    fails(key)
    tell_of_failing_keys()
    [letter] = mailoutbox
    assert said in letter.body
    assert said in letter.alternatives[0][0]


def test_owners_and_billing_managers_of_an_organization_are_told_and_members_are_not(
    owner, billing_manager, member, organization, mailoutbox
):
    key = add_key(
        actor=owner,
        account=organization,
        provider="anthropic",
        secret=Secret(SECRET),
        origin=Origin(),
    )
    fails(key)
    tell_of_failing_keys()
    assert {to for letter in mailoutbox for to in letter.to} == {
        owner.email,
        billing_manager.email,
    }
    assert all(letter.subject == "Acme’s Anthropic key is failing" for letter in mailoutbox)
    assert all(f"/{organization.slug}/" in letter.body for letter in mailoutbox)


def test_a_key_that_fails_again_on_the_same_day_is_not_told_of_again(key, mailoutbox):
    fails(key)
    tell_of_failing_keys()
    see(key, ProviderKey.Health.WORKS, later=timedelta(hours=1))
    fails(key, later=timedelta(hours=2))
    tell_of_failing_keys()
    assert len(mailoutbox) == 1
    see(key, ProviderKey.Health.WORKS, later=timedelta(hours=30))
    fails(key, later=timedelta(hours=31))
    tell_of_failing_keys()
    assert len(mailoutbox) == 2


def test_a_new_secret_that_fails_is_told_of(key, owner, mailoutbox):
    fails(key)
    tell_of_failing_keys()
    update_key(actor=owner, key=key, secret=Secret(SECRET[::-1]), origin=Origin())
    fails(key)
    tell_of_failing_keys()
    assert len(mailoutbox) == 2


def test_of_a_key_that_is_off_nobody_is_told(key, owner, mailoutbox):
    fails(key)
    set_enabled(actor=owner, key=key, enabled=False, origin=Origin())
    tell_of_failing_keys()
    assert mailoutbox == []


def test_a_key_that_merely_cools_is_not_failing(key, mailoutbox):
    see(key, ProviderKey.Health.COOLING, code=Outcome.RATE_LIMITED)
    tell_of_failing_keys()
    assert mailoutbox == []


def test_a_letter_that_could_not_be_sent_is_sent_with_the_next_run(key, mailoutbox, settings):
    fails(key)
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tell_of_failing_keys()
    settings.EMAIL_BACKEND = working
    assert mailoutbox == []
    tell_of_failing_keys()
    assert len(mailoutbox) == 1


class Killed(BaseEmailBackend):
    """The process dies while it sends."""

    def send_messages(self, messages):
        raise SystemExit


def test_a_letter_that_a_killed_worker_did_not_send_is_sent_later(key, mailoutbox, settings):
    fails(key)
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Killed"
    with pytest.raises(SystemExit):
        tell_of_failing_keys()
    settings.EMAIL_BACKEND = working
    # For all that others know it may still be at it.
    tell_of_failing_keys()
    assert mailoutbox == []
    ProviderKey.objects.update(failing_claimed_at=timezone.now() - timedelta(minutes=6))
    tell_of_failing_keys()
    tell_of_failing_keys()
    assert len(mailoutbox) == 1


def test_staff_hear_later_of_trouble_over_which_a_worker_was_killed(staff, mailoutbox, settings):
    trouble = CatalogueSource.objects.create(name="novita", trouble="It lists no models.")
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Killed"
    with pytest.raises(SystemExit):
        tell_of_catalogue()
    settings.EMAIL_BACKEND = working
    tell_of_catalogue()
    assert mailoutbox == []
    CatalogueSource.objects.filter(pk=trouble.pk).update(
        claimed_at=timezone.now() - timedelta(minutes=6)
    )
    tell_of_catalogue()
    tell_of_catalogue()
    assert len(mailoutbox) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_write_one_letter(key, mailoutbox):
    fails(key)
    at_once(tell_of_failing_keys, tell_of_failing_keys)
    assert len(mailoutbox) == 1


def test_of_a_key_of_megabrains_own_staff_are_told(owner, staff, mailoutbox, settings):
    own = add_key(
        actor=staff,
        account=Account.objects.platform(),
        provider="anthropic",
        secret=Secret(SECRET),
        origin=Origin(),
    )
    mailoutbox.clear()
    fails(own)
    tell_of_failing_keys()
    (letter,) = mailoutbox
    assert letter.to == [staff.email]
    assert "the Anthropic key of MegaBrain fail" in letter.body
    assert f"{settings.MEGABRAIN_BASE_URL}{reverse('admin:byok_providerkey_changelist')}" in (
        letter.body
    )
