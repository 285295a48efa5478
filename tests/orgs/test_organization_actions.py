"""Organizations: opened, renamed, limited and deleted, by whom, and with what left behind."""

import os
import threading
import uuid
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection

from orgs.actions import (
    SlugTaken,
    TooManyOrganizations,
    UnknownModels,
    UnusableSlug,
    change_limits,
    change_organization,
    create_organization,
    create_token,
    delete_organization,
    invite,
)
from orgs.actions.organizations import MAX_OWNED
from orgs.catalogue import known_models
from orgs.models import Account, ApiToken, AuditEvent, Invitation, Membership, User
from orgs.origin import Origin
from orgs.permissions import NotPermitted

ROUNDS = int(os.environ.get("MEGABRAIN_RACES", "8"))

pytestmark = pytest.mark.django_db


def create(owner: User, name: str = "Acme", **kwargs) -> Account:
    return create_organization(actor=owner, owner=owner, name=name, origin=Origin(), **kwargs)


def rename(actor: User, account: Account, name: str = "Acme", slug: str = "acme") -> bool:
    return change_organization(actor=actor, account=account, name=name, slug=slug, origin=Origin())


def limit(actor: User, account: Account, **limits) -> bool:
    wanted = {
        "allowed_models": None,
        "member_requests_per_minute": None,
        "token_requests_per_minute": None,
        **limits,
    }
    return change_limits(actor=actor, account=account, origin=Origin(), **wanted)


def newest(account_id: uuid.UUID) -> AuditEvent:
    return AuditEvent.objects.for_account(account_id).newest_first()[0]


def at_once(*calls: Callable[[], object]) -> list[str]:
    """What each call came to when all were made together: its exception's name, or `done`."""
    outcomes = []
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        together.wait()
        try:
            call()
            outcomes.append("done")
        except Exception as error:  # noqa: BLE001 -- the test says which it expects.
            outcomes.append(type(error).__name__)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes)


def test_whoever_creates_an_organization_owns_it(owner):
    acme = create(owner, slug="acme")
    assert acme.is_organization
    membership = Membership.objects.get(account=acme)
    assert (membership.user, membership.role) == (owner, Membership.Role.OWNER)
    event = newest(acme.pk)
    assert (event.event, event.actor_id) == ("org.created", owner.pk)
    assert event.details == {"owner": owner.email, "slug": "acme"}


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Acme", "acme"),
        ("  Ärzte & Co. ", "arzte-co"),
        ("a_-_b", "a-b"),
        ("x" * 100, "x" * 34),
        ("Seven of nine", "seven-of-nine"),
    ],
)
def test_a_slug_is_made_from_the_name(owner, name, slug):
    assert create(owner, name).slug == slug


@pytest.mark.parametrize("name", ["Admin", "日本", "-", "?", "x", "Personal Matters", "platform"])
def test_a_name_that_makes_no_slug_gets_one_all_the_same(owner, name):
    slug = create(owner, name).slug
    assert 2 <= len(slug) <= 40
    assert not Account.objects.exclude(kind="organization").filter(slug=slug).exists()


@pytest.mark.django_db(transaction=True)
def test_two_of_one_name_at_the_same_moment_have_two_slugs(owner, stranger):
    for number in range(ROUNDS):
        outcomes = at_once(
            partial(create, owner, f"Acme {number}"),
            partial(create, stranger, f"Acme {number}"),
        )
        assert outcomes == ["done", "done"]
        slugs = Account.objects.filter(name=f"Acme {number}").values_list("slug", flat=True)
        assert len(set(slugs)) == 2
        assert f"acme-{number}" in slugs


def test_two_of_one_name_have_two_slugs(owner, stranger):
    first, second = create(owner), create(stranger)
    assert first.slug == "acme"
    assert second.slug.startswith("acme-")


@pytest.mark.parametrize(
    "slug",
    [
        "a",
        "Acme",
        "-acme",
        "acme-",
        "ac--me",
        "ac me",
        "acme/x",
        "ac.me",
        "acmé",
        "acme\n",
        "a" * 41,
        "new",
        "admin",
        "platform",
        "personal-1",
        "12345678123456781234567812345678",
        "12345678-1234-5678-1234-567812345678",
    ],
)
def test_an_unusable_slug_is_refused(owner, slug):
    with pytest.raises(UnusableSlug):
        create(owner, slug=slug)
    assert not Account.objects.filter(kind="organization").exists()


def test_a_taken_slug_is_refused(owner, stranger):
    create(owner, slug="acme")
    other = create(stranger, slug="other")
    with pytest.raises(SlugTaken):
        create(stranger, slug="acme")
    with pytest.raises(SlugTaken):
        rename(stranger, other, slug="acme")
    other.refresh_from_db()
    assert other.slug == "other"


def test_the_same_form_makes_one_organization(owner):
    chosen = uuid.uuid4()
    assert create(owner, id=chosen) == create(owner, id=chosen)
    assert Account.objects.filter(kind="organization").count() == 1
    assert AuditEvent.objects.filter(event="org.created").count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_at_once_makes_one_organization(owner):
    chosen = uuid.uuid4()
    assert at_once(*[lambda: create(owner, id=chosen)] * 4) == ["done"] * 4
    assert Account.objects.filter(kind="organization").count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_slug_asked_for_at_once_goes_to_one(owner, stranger):
    outcomes = at_once(lambda: create(owner, slug="acme"), lambda: create(stranger, slug="acme"))
    assert outcomes == ["SlugTaken", "done"]


@pytest.mark.parametrize("theirs", ["organization", "account"])
def test_the_id_of_what_belongs_to_others_makes_an_organization_of_its_own(
    request, organization, account, stranger, theirs
):
    taken = request.getfixturevalue(theirs)
    mine = create(stranger, "Mine", id=taken.pk)
    assert mine.pk != taken.pk
    before = taken.name
    taken.refresh_from_db()
    assert taken.name == before
    assert not Membership.objects.filter(account=taken, user=stranger).exists()


def test_one_person_owns_so_many_and_no_more(owner, member, organization):
    for number in range(MAX_OWNED - 1):
        create(owner, f"Team {number}")
    with pytest.raises(TooManyOrganizations):
        create(owner, "One too many")
    create(member, "The first of another")


@pytest.mark.django_db(transaction=True)
def test_the_last_place_is_taken_once(owner):
    for number in range(MAX_OWNED - 1):
        create(owner, f"Team {number}")
    outcomes = at_once(lambda: create(owner, "One"), lambda: create(owner, "Another"))
    assert outcomes == ["TooManyOrganizations", "done"]


def test_an_owner_renames(organization, owner):
    assert rename(owner, organization, "Acme 2", "acme-2")
    organization.refresh_from_db()
    assert (organization.name, organization.slug) == ("Acme 2", "acme-2")
    event = newest(organization.pk)
    assert event.event == "org.renamed"
    assert event.changed == ["name", "slug"]
    assert event.details == {
        "name": "Acme 2",
        "previous_name": "Acme",
        "slug": "acme-2",
        "previous_slug": "acme",
    }


def test_what_stays_the_same_is_no_change(organization, owner):
    before = AuditEvent.objects.count()
    assert not rename(owner, organization)
    assert not limit(owner, organization)
    assert AuditEvent.objects.count() == before


def test_a_slug_that_was_given_up_is_free(organization, owner, stranger):
    rename(owner, organization, slug="acme-2")
    assert create(stranger, slug="acme").slug == "acme"


@pytest.mark.parametrize("who", ["billing_manager", "member", "stranger", "staff"])
def test_only_owners_rename_limit_and_delete(organization, request, who):
    actor = request.getfixturevalue(who)
    before = AuditEvent.objects.count()
    for change in (
        lambda: rename(actor, organization, "Mine"),
        lambda: limit(actor, organization, token_requests_per_minute=1),
        lambda: delete_organization(actor=actor, account=organization, origin=Origin()),
    ):
        with pytest.raises(NotPermitted):
            change()
    organization.refresh_from_db()
    assert organization.name == "Acme"
    assert organization.token_requests_per_minute is None
    assert AuditEvent.objects.count() == before


def test_limits_are_set_and_lifted(organization, owner):
    model = known_models()[0][0]
    assert limit(
        owner,
        organization,
        allowed_models=[model, model],
        member_requests_per_minute=60,
        token_requests_per_minute=20,
    )
    organization.refresh_from_db()
    assert organization.allowed_models == [model]
    event = newest(organization.pk)
    assert event.event == "org.limits_changed"
    assert event.details == {
        "models": 1,
        "models_from_now_on": [model],
        "member_requests_per_minute": 60,
        "token_requests_per_minute": 20,
    }
    assert limit(owner, organization)
    organization.refresh_from_db()
    assert organization.allowed_models is None
    assert organization.member_requests_per_minute is None


def test_the_log_tells_which_models_were_allowed_and_which_no_longer(organization, owner):
    first, second, third = sorted(model for model, *_ in known_models()[:3])
    limit(owner, organization, allowed_models=[first, second])
    limit(owner, organization, allowed_models=[second, third])
    told = newest(organization.pk).details
    assert (told["models_added"], told["models_removed"]) == ([third], [first])
    limit(owner, organization, allowed_models=[second, third], member_requests_per_minute=9)
    assert not {"models_added", "models_removed"} & newest(organization.pk).details.keys()
    limit(owner, organization)
    assert newest(organization.pk).details["models_until_now"] == [second, third]


def test_of_very_many_models_the_log_tells_the_first(organization, owner):
    gone = [f"acme/{'m' * 100}-{number:04}" for number in range(400)]
    Account.objects.filter(pk=organization.pk).update(allowed_models=gone)
    known = [model for model, _ in known_models()]
    assert limit(owner, organization, allowed_models=known)
    told = newest(organization.pk).details
    assert told["models_added"][0] == known[0]
    *shown, more = told["models_removed"]
    assert shown == gone[: len(shown)] != []
    assert more == f"… and {len(gone) - len(shown)} more"


@pytest.mark.parametrize("models", [[], ["acme/none"]])
def test_models_that_do_not_exist_cannot_be_allowed(organization, owner, models):
    with pytest.raises(UnknownModels):
        limit(owner, organization, allowed_models=models)


def test_a_model_that_left_the_catalogue_may_stay_allowed(organization, owner):
    Account.objects.filter(pk=organization.pk).update(allowed_models=["acme/gone"])
    limit(owner, organization, allowed_models=["acme/gone", known_models()[0][0]])
    organization.refresh_from_db()
    assert "acme/gone" in organization.allowed_models


def test_a_deleted_organization_leaves_its_log_and_nothing_else(organization, owner, member):
    create_token(actor=member, account=organization, name="ci", origin=Origin())
    invite(
        actor=owner,
        account=organization,
        email="new@example.com",
        role=Membership.Role.MEMBER,
        origin=Origin(),
    )
    id_ = organization.pk
    delete_organization(actor=owner, account=organization, origin=Origin())
    for model in (ApiToken, Invitation, Membership):
        assert not model.objects.filter(account_id=id_).exists()
    assert not Account.objects.filter(pk=id_).exists()
    event = newest(id_)
    assert event.event == "org.deleted"
    assert event.details == {"members": 3, "tokens": 1}
    assert member.account


@pytest.mark.django_db(transaction=True)
def test_two_owners_delete_once(organization, owner, member):
    Membership.objects.filter(user=member).update(role=Membership.Role.OWNER)
    id_ = organization.pk

    def delete(actor: User) -> Callable[[], None]:
        account = Account.objects.get(pk=id_)
        return lambda: delete_organization(actor=actor, account=account, origin=Origin())

    assert at_once(delete(owner), delete(member)) == ["DoesNotExist", "done"]
    assert AuditEvent.objects.filter(account_id=id_, event="org.deleted").count() == 1
