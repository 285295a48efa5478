"""`catalogue show|diff|refresh`: what models are known, and what their sources say by now."""

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Prefetch

from byok.catalogue import hours, refresh
from byok.catalogue.changes import Change, dollars_a_million, read
from byok.catalogue.spelling import all_spellings, direct_entries, near_matches, resolve
from byok.models import CatalogModel, ChangeSet, Offering, Price


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        show = actions.add_parser("show", help="List the models, or one with all its prices.")
        show.add_argument("model", nargs="?", help="A model, in any spelling callers may use.")
        show.add_argument("--provider", help="Only what this provider serves.")

        for action, does in (
            ("diff", "Say what sources would change, and change nothing."),
            ("refresh", "Ask sources, and apply what they tell."),
        ):
            asking = actions.add_parser(action, help=does)
            asking.add_argument("source", nargs="*", help="A provider, or feed; all if none.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "diff":
            self._diff(asked(options["source"]))
        elif options["action"] == "refresh":
            self._refresh(asked(options["source"]))
        elif options["model"]:
            self._show_model(options["model"])
        else:
            self._show_all(options["provider"])

    def _diff(self, sources: Sequence[str]) -> None:
        unread = []
        for source in sources:
            try:
                changes, doubts = refresh.preview(source)
            except refresh.NotRead as failed:
                self.stdout.write(f"{source}: {failed}")
                unread.append(source)
                continue
            self.stdout.write(f"{source}: {counted(changes)}")
            self._list(doubts, changes)
        refuse(unread)

    def _refresh(self, sources: Sequence[str]) -> None:
        unread = []
        for source in sources:
            outcome = refresh.refresh(source)
            found = outcome.change_set
            if outcome.busy:
                self.stdout.write(f"{source}: somebody else is asking it just now.")
            elif found is None:
                self.stdout.write(f"{source}: {outcome.trouble or 'nothing changes'}")
                unread += [source] if outcome.trouble else []
            else:
                waits = found.state == ChangeSet.State.WAITING
                changes = read(found.changes)
                what = "wait for staff" if waits else "applied"
                self.stdout.write(f"{source}: {counted(changes)}, {what}")
                self._list([outcome.trouble] if outcome.trouble else [], changes)
        refuse(unread)

    def _list(self, doubts: Iterable[str], changes: Iterable[Change]) -> None:
        for doubt in doubts:
            self.stdout.write(f"  ! {doubt}")
        for change in changes:
            self.stdout.write(f"  {change}")

    def _show_all(self, provider: str | None) -> None:
        models = CatalogModel.objects.prefetch_related("offerings")
        if provider:
            models = models.filter(offerings__provider=provider).distinct()
        lines = [
            (model.id, tokens(model.context), tokens(model.max_output), ", ".join(served_by(model)))
            for model in models
        ]
        if not lines:
            raise CommandError("No models. Run `python manage.py migrate` to load the catalogue.")
        width = max(len(line[0]) for line in lines)
        self.stdout.write(f"{'model':{width}} {'context':>9} {'output':>9}  served by")
        for name, context, output, providers in lines:
            self.stdout.write(f"{name:{width}} {context:>9} {output:>9}  {providers}")
        self.stdout.write(f"{len(lines)} models")

    def _show_model(self, asked: str) -> None:
        known = all_spellings()
        found = resolve(asked, known)
        if found is None:
            near = ", ".join(near_matches(asked, known, direct_entries()))
            raise CommandError(
                f"No model is called {asked!r}." + (f" Near: {near}." if near else "")
            )
        prices = Price.objects.order_by("starts_at", "above_tokens", "pk")
        offerings = Offering.objects.prefetch_related(Prefetch("prices", prices))
        model = CatalogModel.objects.prefetch_related(Prefetch("offerings", offerings)).get(
            pk=found
        )
        self.stdout.write(f"{model.id}  {model.name}")
        self.stdout.write(f"  context {tokens(model.context)}, output {tokens(model.max_output)}")
        self.stdout.write(f"  capabilities: {', '.join(model.capabilities) or 'none known'}")
        self.stdout.write(f"  also called: {', '.join(model.aliases) or 'nothing else'}")
        self._show_tellers(model, "  ")
        for offering in model.offerings.all():
            self.stdout.write(f"  {offering.provider}: {offering.upstream_id}{state(offering)}")
            self.stdout.write(f"    {offering.get_confidence_display()}. {offering.note}".rstrip())
            if offering.context or offering.max_output:
                own = f"context {tokens(offering.context)}, output {tokens(offering.max_output)}"
                self.stdout.write(f"    {own} of its own")
            self._show_tellers(offering, "    ")
            for price in offering.prices.all():
                self.stdout.write(f"    {described(price)}")

    def _show_tellers(self, row: CatalogModel | Offering, indent: str) -> None:
        """Who told what the bundled catalogue did not."""
        if row.told_by:
            told = ", ".join(f"{field} {by}" for field, by in sorted(row.told_by.items()))
            self.stdout.write(f"{indent}told by: {told}")


def asked(sources: Sequence[str]) -> Sequence[str]:
    """These sources, or all there are. Raises CommandError for one that cannot be asked."""
    known = refresh.sources()
    for source in sources:
        if source not in known:
            there_are = ", ".join(known) or "none"
            raise CommandError(f"{source!r} cannot be asked. The sources are: {there_are}.")
    return sources or known


def refuse(unread: Sequence[str]) -> None:
    if unread:
        raise CommandError(f"Not all could be read: {', '.join(unread)}.")


def counted(changes: Sequence[Change]) -> str:
    return "nothing changes" if not changes else f"{len(changes):,} changes"


def state(offering: Offering) -> str:
    """What is to be known before it is called."""
    said = "" if offering.enabled else ", disabled"
    if offering.retired_at:
        said += f", retired {offering.retired_at:%Y-%m-%d}"
    elif offering.missing_since:
        said += f", missing from the list since {offering.missing_since:%Y-%m-%d}"
    if offering.retires_on:
        said += f", ends {offering.retires_on:%Y-%m-%d}"
    return said


def tokens(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def served_by(model: CatalogModel) -> list[str]:
    return sorted({offering.provider for offering in model.offerings.all()})


def described(price: Price) -> str:
    """A price in dollars a million tokens, and when it holds."""
    parts = [
        f"{kind} {dollars_a_million(amount)}"
        for kind, amount in (
            ("input", price.input),
            ("output", price.output),
            ("cache read", price.cache_read),
            ("cache write", price.cache_write),
            ("long cache write", price.cache_write_long),
        )
        if amount is not None
    ]
    when = f"from {price.starts_at:%Y-%m-%d}"
    if price.above_tokens:
        when += f", prompts above {price.above_tokens:,} tokens"
    if price.hours:
        when += f", {'; '.join(hours.told(price.hours))} UTC"
    return f"{', '.join(parts)} ({when})"
