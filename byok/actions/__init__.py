"""Every change of a provider key and of the catalogue: one function each, with its audit row.

The account is held first, so that whoever is losing their role at this moment is asked after it is
lost; then permission, then the row is locked, changed and told to the audit log, and what other
processes remember is announced as stale: all in one transaction.

`actor` is None for the operator at the command line, who may do anything.
"""

from byok.actions.catalogue import (
    MODEL_FIELDS,
    ModelGone,
    OfferingGone,
    change_model,
    reload_catalogue,
    restore_model,
    set_offering_enabled,
)
from byok.actions.holding import AccountGone, KeyGone
from byok.actions.keys import (
    NOT_QUEUED,
    TESTS_A_MINUTE,
    KeyAlreadyExists,
    TooManyTests,
    add_key,
    delete_key,
    request_test,
    set_enabled,
    set_on_failure,
    set_reminder,
    update_key,
)

__all__ = [
    "MODEL_FIELDS",
    "NOT_QUEUED",
    "TESTS_A_MINUTE",
    "AccountGone",
    "KeyAlreadyExists",
    "KeyGone",
    "ModelGone",
    "OfferingGone",
    "TooManyTests",
    "add_key",
    "change_model",
    "delete_key",
    "reload_catalogue",
    "request_test",
    "restore_model",
    "set_enabled",
    "set_offering_enabled",
    "set_on_failure",
    "set_reminder",
    "update_key",
]
