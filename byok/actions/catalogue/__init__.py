"""The catalogue, as staff change it; told in the platform account's trail."""

from byok.actions.catalogue.models import (
    MODEL_FIELDS,
    ModelGone,
    ModelInUse,
    add_model,
    change_model,
    remove_model,
    restore_model,
)
from byok.actions.catalogue.offerings import (
    OFFERING_FIELDS,
    OfferingExists,
    add_offering,
    change_offering,
    remove_offering,
    restore_offering,
    set_offering_enabled,
    set_offering_retired,
)
from byok.actions.catalogue.prices import (
    PRICE_FIELDS,
    PriceExists,
    PriceGone,
    add_price,
    change_price,
    remove_price,
)
from byok.actions.catalogue.sources import (
    ChangesDecided,
    NotAsked,
    UnknownSource,
    apply_change_set,
    dismiss_change_set,
    refresh_source,
    reload_catalogue,
)
from byok.actions.catalogue.writing import NotOurs, OfferingGone
from byok.catalogue.naming import NameTaken

__all__ = [
    "MODEL_FIELDS",
    "OFFERING_FIELDS",
    "PRICE_FIELDS",
    "ChangesDecided",
    "ModelGone",
    "ModelInUse",
    "NameTaken",
    "NotAsked",
    "NotOurs",
    "OfferingExists",
    "OfferingGone",
    "PriceExists",
    "PriceGone",
    "UnknownSource",
    "add_model",
    "add_offering",
    "add_price",
    "apply_change_set",
    "change_model",
    "change_offering",
    "change_price",
    "dismiss_change_set",
    "refresh_source",
    "reload_catalogue",
    "remove_model",
    "remove_offering",
    "remove_price",
    "restore_model",
    "restore_offering",
    "set_offering_enabled",
    "set_offering_retired",
]
