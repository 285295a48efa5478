"""`catalogue show`: which models are known, who serves them and what they cost."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Prefetch

from byok.catalogue import direct_entries, near_matches, resolve, spellings
from byok.models import CatalogModel, Offering, Price

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="show")
        show = actions.add_parser("show", help="List the models, or one with all its prices.")
        show.add_argument("model", nargs="?", help="A model, in any spelling callers may use.")
        show.add_argument("--provider", help="Only what this provider serves.")

    # Any: the options as argparse read them.
    def handle(self, *args: Any, **options: Any) -> None:
        if options["model"]:
            self._show_model(options["model"])
        else:
            self._show_all(options["provider"])

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
        direct = direct_entries()
        known = spellings(CatalogModel.objects.values_list("id", "aliases"), direct)
        found = resolve(asked, known)
        if found is None:
            near = ", ".join(near_matches(asked, known, direct))
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
        for offering in model.offerings.all():
            state = "" if offering.enabled else ", disabled"
            self.stdout.write(f"  {offering.provider}: {offering.upstream_id}{state}")
            self.stdout.write(f"    {offering.get_confidence_display()}. {offering.note}".rstrip())
            for price in offering.prices.all():
                self.stdout.write(f"    {described(price)}")


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
        )
        if amount is not None
    ]
    when = f"from {price.starts_at:%Y-%m-%d}"
    if price.above_tokens:
        when += f", prompts above {price.above_tokens:,} tokens"
    if price.hours:
        spans = ", ".join(f"{span['from']}–{span['to']}" for span in price.hours)
        days = "/".join(DAYS[day - 1] for day in price.hours[0]["days"])
        when += f", {days} {spans} UTC"
    return f"{', '.join(parts)} ({when})"


def dollars_a_million(amount: int) -> str:
    """3 000 000 (of 10⁻¹² dollars a token) as $3.00, with as many places as it needs."""
    whole, rest = divmod(amount, 10**6)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"${whole}.{places}"
