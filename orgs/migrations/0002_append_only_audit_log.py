"""Let the database itself refuse to change the audit log, whatever the application does.

An event is never updated or deleted, and is only added as the next link of its account's chain. A
head starts at zero and only ever moves on to the event that was just added.
"""

from django.db import migrations

POSTGRESQL = """
CREATE FUNCTION orgs_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION orgs_audit_event_is_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM orgs_audithead AS head
        WHERE head.account_id = NEW.account_id
          AND head.sequence + 1 = NEW.sequence
          AND head.hash = NEW.previous_hash
    ) THEN
        RAISE EXCEPTION 'The audit log is a chain: an event must be the next link of its account.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION orgs_audit_head_is_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> 0 OR NEW.hash <> repeat('0', 64) THEN
        RAISE EXCEPTION 'The audit log is a chain: it starts at zero.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION orgs_audit_head_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.account_id <> OLD.account_id OR NEW.sequence <> OLD.sequence + 1 OR NOT EXISTS (
        SELECT FROM orgs_auditevent AS event
        WHERE event.account_id = NEW.account_id
          AND event.sequence = NEW.sequence
          AND event.hash = NEW.hash
    ) THEN
        RAISE EXCEPTION 'The audit log is a chain: its head moves on to the event just added.'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER orgs_auditevent_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON orgs_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION orgs_audit_refuse();
CREATE TRIGGER orgs_auditevent_is_next BEFORE INSERT ON orgs_auditevent
    FOR EACH ROW EXECUTE FUNCTION orgs_audit_event_is_next();
CREATE TRIGGER orgs_audithead_stays BEFORE DELETE OR TRUNCATE ON orgs_audithead
    FOR EACH STATEMENT EXECUTE FUNCTION orgs_audit_refuse();
CREATE TRIGGER orgs_audithead_is_first BEFORE INSERT ON orgs_audithead
    FOR EACH ROW EXECUTE FUNCTION orgs_audit_head_is_first();
CREATE TRIGGER orgs_audithead_moves_on BEFORE UPDATE ON orgs_audithead
    FOR EACH ROW EXECUTE FUNCTION orgs_audit_head_moves_on();
"""

POSTGRESQL_BACK = """
DROP TRIGGER orgs_auditevent_append_only ON orgs_auditevent;
DROP TRIGGER orgs_auditevent_is_next ON orgs_auditevent;
DROP TRIGGER orgs_audithead_stays ON orgs_audithead;
DROP TRIGGER orgs_audithead_is_first ON orgs_audithead;
DROP TRIGGER orgs_audithead_moves_on ON orgs_audithead;
DROP FUNCTION orgs_audit_refuse();
DROP FUNCTION orgs_audit_event_is_next();
DROP FUNCTION orgs_audit_head_is_first();
DROP FUNCTION orgs_audit_head_moves_on();
"""

# INSERT OR REPLACE removes rows without firing their DELETE triggers, so the INSERT triggers of
# SQLite also refuse a row that would replace another.
SQLITE = [
    """
    CREATE TRIGGER orgs_auditevent_no_update BEFORE UPDATE ON orgs_auditevent BEGIN
        SELECT RAISE(ABORT, 'The audit log is append-only: UPDATE is refused.');
    END
    """,
    """
    CREATE TRIGGER orgs_auditevent_no_delete BEFORE DELETE ON orgs_auditevent BEGIN
        SELECT RAISE(ABORT, 'The audit log is append-only: DELETE is refused.');
    END
    """,
    """
    CREATE TRIGGER orgs_auditevent_is_next BEFORE INSERT ON orgs_auditevent
    WHEN EXISTS (SELECT 1 FROM orgs_auditevent WHERE id = NEW.id) OR NOT EXISTS (
        SELECT 1 FROM orgs_audithead AS head
        WHERE head.account_id = NEW.account_id
          AND head.sequence + 1 = NEW.sequence
          AND head.hash = NEW.previous_hash
    ) BEGIN
        SELECT RAISE(
            ABORT, 'The audit log is a chain: an event must be the next link of its account.'
        );
    END
    """,
    """
    CREATE TRIGGER orgs_audithead_no_delete BEFORE DELETE ON orgs_audithead BEGIN
        SELECT RAISE(ABORT, 'The audit log is append-only: DELETE of its head is refused.');
    END
    """,
    """
    CREATE TRIGGER orgs_audithead_is_first BEFORE INSERT ON orgs_audithead
    WHEN NEW.sequence <> 0 OR NEW.hash <> printf('%064d', 0) OR EXISTS (
        SELECT 1 FROM orgs_audithead WHERE account_id = NEW.account_id
    ) BEGIN
        SELECT RAISE(ABORT, 'The audit log is a chain: it starts once, at zero.');
    END
    """,
    """
    CREATE TRIGGER orgs_audithead_moves_on BEFORE UPDATE ON orgs_audithead
    WHEN NEW.account_id <> OLD.account_id OR NEW.sequence <> OLD.sequence + 1 OR NOT EXISTS (
        SELECT 1 FROM orgs_auditevent AS event
        WHERE event.account_id = NEW.account_id
          AND event.sequence = NEW.sequence
          AND event.hash = NEW.hash
    ) BEGIN
        SELECT RAISE(
            ABORT, 'The audit log is a chain: its head moves on to the event just added.'
        );
    END
    """,
]

SQLITE_BACK = [
    "DROP TRIGGER orgs_auditevent_no_update",
    "DROP TRIGGER orgs_auditevent_no_delete",
    "DROP TRIGGER orgs_auditevent_is_next",
    "DROP TRIGGER orgs_audithead_no_delete",
    "DROP TRIGGER orgs_audithead_is_first",
    "DROP TRIGGER orgs_audithead_moves_on",
]


def protect(apps, schema_editor):
    run(schema_editor, {"postgresql": [POSTGRESQL], "sqlite": SQLITE})


def unprotect(apps, schema_editor):
    run(schema_editor, {"postgresql": [POSTGRESQL_BACK], "sqlite": SQLITE_BACK})


def run(schema_editor, statements):
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0001_initial")]
    operations = [migrations.RunPython(protect, unprotect)]
