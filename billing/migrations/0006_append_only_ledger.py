"""Let the database itself refuse to change the ledger, whatever the application does.

An entry is never updated or deleted, and is only added as the next one of its account: numbered
without a gap, with a balance that follows from the one before it.
"""

from django.db import migrations

POSTGRESQL = """
CREATE FUNCTION billing_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION billing_ledger_entry_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_number bigint := 0;
    last_balance bigint := 0;
BEGIN
    SELECT number, balance_micros INTO last_number, last_balance
    FROM billing_ledgerentry WHERE account_id = NEW.account_id ORDER BY number DESC LIMIT 1;
    IF NEW.number <> COALESCE(last_number, 0) + 1
        OR NEW.balance_micros <> COALESCE(last_balance, 0) + NEW.amount_micros THEN
        RAISE EXCEPTION 'The ledger is a sum: an entry must be the next one of its account.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER billing_ledgerentry_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_refuse();
CREATE TRIGGER billing_ledgerentry_is_next BEFORE INSERT ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_entry_is_next();
"""

POSTGRESQL_BACK = """
DROP TRIGGER billing_ledgerentry_append_only ON billing_ledgerentry;
DROP TRIGGER billing_ledgerentry_is_next ON billing_ledgerentry;
DROP FUNCTION billing_ledger_refuse();
DROP FUNCTION billing_ledger_entry_is_next();
"""

# INSERT OR REPLACE removes rows without firing their DELETE triggers, so the INSERT trigger of
# SQLite also refuses a row that would replace another.
SQLITE = [
    """
    CREATE TRIGGER billing_ledgerentry_no_update BEFORE UPDATE ON billing_ledgerentry BEGIN
        SELECT RAISE(ABORT, 'The ledger is append-only: UPDATE is refused.');
    END
    """,
    """
    CREATE TRIGGER billing_ledgerentry_no_delete BEFORE DELETE ON billing_ledgerentry BEGIN
        SELECT RAISE(ABORT, 'The ledger is append-only: DELETE is refused.');
    END
    """,
    """
    CREATE TRIGGER billing_ledgerentry_is_next BEFORE INSERT ON billing_ledgerentry
    WHEN EXISTS (
        SELECT 1 FROM billing_ledgerentry
        WHERE id = NEW.id OR idempotency_key = NEW.idempotency_key
    ) OR NEW.number <> 1 + COALESCE((
        SELECT max(number) FROM billing_ledgerentry WHERE account_id = NEW.account_id
    ), 0) OR NEW.balance_micros <> NEW.amount_micros + COALESCE((
        SELECT balance_micros FROM billing_ledgerentry
        WHERE account_id = NEW.account_id ORDER BY number DESC LIMIT 1
    ), 0) BEGIN
        SELECT RAISE(ABORT, 'The ledger is a sum: an entry must be the next one of its account.');
    END
    """,
]

SQLITE_BACK = [
    "DROP TRIGGER billing_ledgerentry_no_update",
    "DROP TRIGGER billing_ledgerentry_no_delete",
    "DROP TRIGGER billing_ledgerentry_is_next",
]


def protect(apps, schema_editor):
    run(schema_editor, {"postgresql": [POSTGRESQL], "sqlite": SQLITE})


def unprotect(apps, schema_editor):
    run(schema_editor, {"postgresql": [POSTGRESQL_BACK], "sqlite": SQLITE_BACK})


def run(schema_editor, statements):
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_money")]
    operations = [migrations.RunPython(protect, unprotect)]
