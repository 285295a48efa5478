"""A catalogue as large as it may become."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from byok.catalogue import version
from byok.models import CatalogModel, Offering, Price

VENDORS = {
    "anthropic": ("anthropic", "bedrock"),
    "openai": ("openai",),
    "google": ("google",),
    "mistralai": ("mistral", "novita"),
    "qwen": ("fireworks", "novita", "nvidia", "bedrock"),
}
FAMILIES = ("Comet", "Harbour", "Lantern", "Meadow", "Quartz")


def fill(count: int = 2_000) -> None:
    """Bring the catalogue to so many models: some with tiers, some free, some without a price."""
    began = timezone.now() - timedelta(days=30)
    vendors = list(VENDORS)
    models, offerings, prices = [], [], []
    served = CatalogModel.objects.filter(pk__in=Offering.objects.routable().values("model"))
    for number in range(count - served.count()):
        vendor, family = vendors[number % 5], FAMILIES[number // 5 % 5]
        model = CatalogModel(
            id=f"{vendor}/{family.lower()}-{number // 25}.{number % 7}-instruct",
            name=f"{family} {number // 25}.{number % 7} Instruct",
            context=2 ** (15 + number % 6),
            max_output=8_192 if number % 3 else None,
            capabilities=["tools", "reasoning", "vision"][: number % 4],
            released_on=(began - timedelta(days=number)).date(),
        )
        models.append(model)
        for provider in VENDORS[vendor]:
            offering = Offering(
                model=model, provider=provider, upstream_id=model.id.partition("/")[2]
            )
            offerings.append(offering)
            for tier in () if number % 10 == 9 else (0, 128_000)[: 1 + number % 2]:
                cost = number % 10 * 250_000
                prices.append(
                    Price(
                        offering=offering,
                        starts_at=began,
                        above_tokens=tier,
                        input=cost + tier,
                        output=cost * 4 + tier,
                    )
                )
    with transaction.atomic():
        version.changed()
        CatalogModel.objects.bulk_create(models)
        Offering.objects.bulk_create(offerings)
        Price.objects.bulk_create(prices)
