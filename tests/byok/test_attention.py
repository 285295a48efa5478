"""Keys that need attention: their page says why, and those who manage them are told once."""

from datetime import date, timedelta

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from billing.models import UsageRecord
from byok.actions import add_key, set_enabled, update_key
from byok.catalogue import version
from byok.models import KeyNotice, Offering, ProviderKey
from byok.providers import PROVIDERS
from byok.tasks import tell_of_keys_that_need_attention
from byok.vault import Secret
from orgs.actions import remove_member
from orgs.models import Account, Membership, User
from orgs.origin import Origin
from tests.byok.conftest import ANTHROPIC_SECRET, address, text_of
from tests.together import at_once

HAIKU = "anthropic/claude-haiku-4.5"


def days_ago(days: float):
    return timezone.now() - timedelta(days=days)


def in_days(days: int) -> date:
    return timezone.now().date() + timedelta(days=days)


def now_it(**state: object) -> None:
    """Give all keys this state."""
    ProviderKey.objects.update(**state)


def ends(model: str = HAIKU, provider: str = "anthropic", **when: object) -> None:
    version.changed()
    offerings = Offering.objects.filter(model=model, provider=provider)
    assert offerings.update(**{"retires_on": None, "retired_at": None, **when})


def served(key: ProviderKey, *, model: str = HAIKU, days: float = 1, outcome: str = "ok") -> None:
    UsageRecord.objects.create(
        account_id=key.account_id,
        endpoint="messages",
        model=model,
        provider=key.provider,
        provider_key_id=key.pk,
        payer=UsageRecord.Payer.BYOK,
        status=200,
        outcome=outcome,
        latency_ms=900,
        created_at=days_ago(days),
    )


def key_of(account: Account, owner: User | None, provider: str) -> ProviderKey:
    return add_key(
        actor=owner,
        account=account,
        provider=provider,
        secret=Secret(f"{provider}-" + "x" * 30),
        origin=Origin(),
    )


def left_by_a_run_that_is_over() -> None:
    """What was claimed was so longer ago than a run may take."""
    KeyNotice.objects.exclude(claimed_at=None).update(claimed_at=days_ago(0.1))


# On the page -------------------------------------------------------------------------------


def test_list_and_details_say_in_words_why_a_key_needs_attention(
    owner_client, anthropic_key, keys_url, settings
):
    settings.MEGABRAIN_KEY_OLD_DAYS, settings.MEGABRAIN_KEY_UNUSED_DAYS = 365, 90
    fresh = {"secret_changed_at": timezone.now(), "last_used_at": timezone.now(), "remind_on": None}
    replace = "Create a new key at Anthropic and save it with Update."
    delete = "If nobody needs it, delete it here and at Anthropic."
    for state, words, advice in (
        (
            {"remind_on": in_days(0)},
            f"Due for replacement It was to be replaced on {in_days(0)}.",
            replace,
        ),
        ({"secret_changed_at": days_ago(366)}, "Old It was saved 366 days ago.", replace),
        (
            {"secret_changed_at": days_ago(91), "last_used_at": None},
            "Unused No call has used it for 91 days.",
            delete,
        ),
        (
            {"secret_changed_at": days_ago(120), "last_used_at": days_ago(92)},
            "Unused No call has used it for 92 days.",
            delete,
        ),
    ):
        now_it(**fresh | state)
        assert words in text_of(owner_client.get(keys_url)), state
        details = text_of(owner_client.get(address("details", anthropic_key)))
        assert f"{words} {advice}" in details, state


def test_what_is_in_order_needs_none(owner_client, anthropic_key, keys_url, settings):
    settings.MEGABRAIN_KEY_OLD_DAYS, settings.MEGABRAIN_KEY_UNUSED_DAYS = 365, 90
    for state in (
        {"remind_on": in_days(1)},
        {"secret_changed_at": days_ago(364), "last_used_at": days_ago(89)},
        # A new secret is a new beginning.
        {"secret_changed_at": days_ago(1), "last_used_at": days_ago(200)},
        {"secret_changed_at": days_ago(900), "enabled": False},
    ):
        now_it(**state)
        page = text_of(owner_client.get(keys_url))
        assert "It was" not in page, state
        assert "No call has used it" not in page, state
    now_it(remind_on=in_days(-1))  # The one thing that is told of a key that is off.
    assert "Due for replacement" in text_of(owner_client.get(keys_url))


def test_a_key_of_a_plan_is_never_old_or_unused(
    owner_client, anthropic_key, keys_url, mailoutbox, settings
):
    settings.MEGABRAIN_KEY_OLD_DAYS, settings.MEGABRAIN_KEY_UNUSED_DAYS = 365, 90
    now_it(secret_changed_at=days_ago(800), managed_by="token-plan-plus")
    page = text_of(owner_client.get(keys_url))
    assert "saved 800 days ago" not in page
    assert "No call has used it" not in page
    tell_of_keys_that_need_attention()
    assert mailoutbox == []
    assert not KeyNotice.objects.exists()
    now_it(remind_on=in_days(0))  # Whoever wants to be reminded of it is.
    tell_of_keys_that_need_attention()
    [letter] = mailoutbox
    assert "saved 800 days ago" not in letter.body
    now_it(managed_by="")
    tell_of_keys_that_need_attention()
    assert "saved 800 days ago" in mailoutbox[1].body


def test_the_operator_may_have_keys_never_called_old_or_unused(
    owner_client, anthropic_key, keys_url, mailoutbox, settings
):
    settings.MEGABRAIN_KEY_OLD_DAYS = settings.MEGABRAIN_KEY_UNUSED_DAYS = 0
    now_it(secret_changed_at=days_ago(5000))
    page = text_of(owner_client.get(keys_url))
    tell_of_keys_that_need_attention()
    assert "saved 5000 days ago" not in page
    assert "No call has used it" not in page
    assert mailoutbox == []


def test_the_end_of_a_model_is_told_to_whose_key_served_it_lately(
    owner_client, anthropic_key, keys_url
):
    served(anthropic_key)
    for end, words in (
        ({"retires_on": in_days(30)}, f"Model retires Anthropic retires {HAIKU} on {in_days(30)}."),
        ({"retires_on": in_days(-3)}, f"Anthropic was to retire {HAIKU} on {in_days(-3)}."),
        ({"retired_at": days_ago(2)}, f"Model retired Anthropic has retired {HAIKU}."),
    ):
        ends(**end)
        assert words in text_of(owner_client.get(keys_url)), end
        details = text_of(owner_client.get(address("details", anthropic_key)))
        assert f"{words} This key served it in the last 30 days. Where no other key" in details, end
    ends(retires_on=in_days(31))
    assert HAIKU + " on" not in text_of(owner_client.get(keys_url))
    # While the provider has it under another id, nothing ends.
    ends(retired_at=days_ago(2))
    version.changed()
    Offering.objects.create(model_id=HAIKU, provider="anthropic", upstream_id="another")
    assert "has retired" not in text_of(owner_client.get(keys_url))


def test_the_end_of_a_model_is_not_told_to_whose_key_did_not_serve_it_lately(
    owner, account, owner_client, anthropic_key, stranger, keys_url, mailoutbox
):
    ends(retires_on=in_days(3))
    served(anthropic_key, days=31)
    served(anthropic_key, outcome="byok_key_rejected")
    served(anthropic_key, model="anthropic/claude-sonnet-4.5")
    served(key_of(account, owner, "bedrock"))
    served(key_of(stranger.account, stranger, "anthropic"))
    page = text_of(owner_client.get(keys_url))
    assert "retires" not in page
    tell_of_keys_that_need_attention()
    assert [letter.to for letter in mailoutbox] == [[stranger.email]]


def test_the_list_takes_as_many_queries_for_many_reasons_as_for_one(
    owner, account, owner_client, anthropic_key, keys_url, django_assert_max_num_queries
):
    now_it(secret_changed_at=days_ago(400), remind_on=in_days(0))
    owner_client.get(keys_url)
    with django_assert_max_num_queries(12) as with_one:
        owner_client.get(keys_url)
    version.changed()
    Offering.objects.update(retires_on=in_days(3))
    for provider in ("bedrock", "deepseek", "openai", "mistral"):
        key = key_of(account, owner, provider)
        for model in Offering.objects.filter(provider=provider).values_list("model", flat=True):
            served(key, model=model)
    now_it(secret_changed_at=days_ago(400), remind_on=in_days(0))
    owner_client.get(keys_url)
    with django_assert_max_num_queries(12) as with_many:
        page = text_of(owner_client.get(keys_url))
    assert page.count("It was to be replaced") == 5
    assert page.count("Model retires") > 4
    assert len(with_many) == len(with_one)


# By letter ---------------------------------------------------------------------------------


def test_beat_has_the_letters_written(settings):
    tasks = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert tell_of_keys_that_need_attention.name in tasks


def test_the_owner_is_told_once_of_each_occasion(anthropic_key, owner, mailoutbox, settings):
    tell_of_keys_that_need_attention()
    assert mailoutbox == []
    now_it(remind_on=in_days(0))
    tell_of_keys_that_need_attention()
    tell_of_keys_that_need_attention()
    (letter,) = mailoutbox
    assert letter.to == [owner.email]
    assert letter.subject == "Your Anthropic key needs attention"
    for text in (letter.body, letter.alternatives[0][0]):
        assert f"It was to be replaced on {in_days(0)}." in text
        assert f"{settings.MEGABRAIN_BASE_URL}/account/byok/" in text
        assert ANTHROPIC_SECRET[-4:] not in text
    assert KeyNotice.objects.get().told_at is not None


def test_another_occasion_is_told_of_again(anthropic_key, owner, mailoutbox):
    served(anthropic_key)
    ends(retires_on=in_days(20))
    now_it(secret_changed_at=days_ago(800), last_used_at=days_ago(300), remind_on=in_days(-9))
    tell_of_keys_that_need_attention()
    (letter,) = mailoutbox
    for each in ("to be replaced", "saved 800 days", "for 300 days", "Anthropic retires"):
        assert each in letter.body
    KeyNotice.objects.update(found_at=days_ago(299))  # Time goes by.
    for again, words in (
        ({"remind_on": in_days(-1)}, "to be replaced"),
        ({"last_used_at": days_ago(100)}, "for 100 days"),
        # Of a secret that was saved anew it is told as of the first.
        ({"secret_changed_at": days_ago(200)}, None),
        ({"secret_changed_at": days_ago(370), "last_used_at": days_ago(1)}, None),
    ):
        now_it(**again)
        mailoutbox.clear()
        tell_of_keys_that_need_attention()
        tell_of_keys_that_need_attention()
        assert [words in letter.body for letter in mailoutbox] == ([True] if words else [])
    for end, said in (
        ({"retires_on": in_days(10)}, f"on {in_days(10)}"),
        ({"retired_at": days_ago(0.1)}, "has retired"),
    ):
        ends(**end)
        mailoutbox.clear()
        tell_of_keys_that_need_attention()
        tell_of_keys_that_need_attention()
        assert [said in letter.body for letter in mailoutbox] == [True]


def test_those_who_manage_an_organizations_keys_get_one_letter_each_of_all_of_them(
    owner, billing_manager, member, organization, anthropic_key, mailoutbox
):
    for provider in ("openai", "deepseek", "mistral"):
        key_of(organization, owner, provider)
    now_it(secret_changed_at=days_ago(400))
    ProviderKey.objects.filter(provider="mistral").update(enabled=False)
    tell_of_keys_that_need_attention()
    letters = [letter for letter in mailoutbox if "Acme" in letter.subject]
    assert sorted(letter.to[0] for letter in letters) == [billing_manager.email, owner.email]
    for letter in letters:
        assert letter.subject == "2 of Acme’s provider keys need attention"
        assert letter.body.index("DeepSeek") < letter.body.index("OpenAI")
        assert "Mistral" not in letter.body
        assert f"/{organization.slug}/" in letter.body
    # What is personal is told apart, and only to whose it is.
    [personal] = [letter for letter in mailoutbox if letter not in letters]
    assert personal.to == [owner.email]
    assert "OpenAI" not in personal.body


def test_only_those_are_told_who_manage_the_keys_when_the_letter_is_written(
    owner, billing_manager, organization, mailoutbox
):
    key_of(organization, billing_manager, "openai")
    now_it(secret_changed_at=days_ago(400))
    remove_member(
        actor=owner,
        membership=Membership.objects.get(account=organization, user=billing_manager),
        origin=Origin(),
    )
    mailoutbox.clear()
    tell_of_keys_that_need_attention()
    assert [letter.to for letter in mailoutbox] == [[owner.email]]


def test_where_nobody_may_be_told_nobody_is_tried_again(owner, stranger, anthropic_key, mailoutbox):
    key_of(stranger.account, stranger, "openai")
    key_of(Account.objects.platform(), None, "mistral")
    now_it(secret_changed_at=days_ago(400))
    User.objects.filter(pk=owner.pk).update(is_active=False)
    tell_of_keys_that_need_attention()
    assert [letter.to for letter in mailoutbox] == [[stranger.email]]
    assert not KeyNotice.objects.filter(told_at=None).exists()


def test_a_letter_that_could_not_be_sent_is_sent_by_a_later_run(
    anthropic_key, mailoutbox, settings
):
    now_it(remind_on=in_days(0))
    working = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    tell_of_keys_that_need_attention()
    settings.EMAIL_BACKEND = working
    assert mailoutbox == []
    left_by_a_run_that_is_over()
    tell_of_keys_that_need_attention()
    assert len(mailoutbox) == 1


class Killed(BaseEmailBackend):
    """The process dies while it sends."""

    def send_messages(self, messages):
        raise SystemExit


def test_a_letter_that_a_killed_worker_did_not_send_is_sent_later(
    owner, anthropic_key, mailoutbox, settings
):
    now_it(secret_changed_at=days_ago(400))
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Killed"
    with pytest.raises(SystemExit):
        tell_of_keys_that_need_attention()
    settings.EMAIL_BACKEND = working
    # For all that others know it may still be at it.
    tell_of_keys_that_need_attention()
    assert mailoutbox == []
    left_by_a_run_that_is_over()
    tell_of_keys_that_need_attention()
    assert len(mailoutbox) == 1
    left_by_a_run_that_is_over()
    tell_of_keys_that_need_attention()
    assert len(mailoutbox) == 1


@pytest.mark.parametrize("mended", ["replaced", "off", "deleted"])
def test_what_was_mended_before_the_letter_could_be_written_is_not_told(
    mended, owner, anthropic_key, mailoutbox, settings
):
    now_it(secret_changed_at=days_ago(400))
    working, settings.EMAIL_BACKEND = settings.EMAIL_BACKEND, f"{__name__}.Killed"
    with pytest.raises(SystemExit):
        tell_of_keys_that_need_attention()
    settings.EMAIL_BACKEND = working
    left_by_a_run_that_is_over()
    if mended == "replaced":
        update_key(actor=owner, key=anthropic_key, secret=Secret("x" * 30), origin=Origin())
    elif mended == "off":
        set_enabled(actor=owner, key=anthropic_key, enabled=False, origin=Origin())
    else:
        anthropic_key.delete()
    tell_of_keys_that_need_attention()
    assert mailoutbox == []
    assert not KeyNotice.objects.exists()
    if mended == "off":
        set_enabled(actor=owner, key=anthropic_key, enabled=True, origin=Origin())
        tell_of_keys_that_need_attention()
        assert len(mailoutbox) == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_write_one_letter(owner, account, mailoutbox):
    for provider in list(PROVIDERS)[:5]:
        key_of(account, owner, provider)
    now_it(secret_changed_at=days_ago(400), remind_on=in_days(0))
    at_once(tell_of_keys_that_need_attention, tell_of_keys_that_need_attention)
    tell_of_keys_that_need_attention()
    told = "".join(letter.body for letter in mailoutbox)
    assert told.count("to be replaced") == told.count("saved 400 days") == 5
    assert set(KeyNotice.objects.values_list("claimed_at", flat=True)) == {None}
