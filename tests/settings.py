"""The project's settings for the test suite: a home of its own, quick hashing, mail in memory."""

import os
import tempfile
from pathlib import Path

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")

if WORKER:
    # Parallel workers share nothing: each has its own home (and so queue) and Redis database.
    _home = Path(os.environ["MEGABRAIN_HOME"]) / WORKER
    os.environ["MEGABRAIN_HOME"] = str(_home)
    if os.environ.get("REDIS_URL"):
        _server, _, _ = os.environ["REDIS_URL"].rpartition("/")
        os.environ["REDIS_URL"] = f"{_server}/{int(WORKER.removeprefix('gw')) + 1}"
else:
    os.environ.setdefault("MEGABRAIN_HOME", tempfile.mkdtemp(prefix="megabrain-tests-"))

from megabrain.settings import *  # noqa: E402, F403
from megabrain.settings import DATABASES, INSTALLED_APPS, MEGABRAIN_HOME  # noqa: E402

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: the gateway under test reads it from its own threads, as in life.
    DATABASES["default"]["TEST"] = {"NAME": str(MEGABRAIN_HOME / "test.sqlite3")}
else:
    # No test cuts the power of the database, and a commit that waits for the disk takes seven times
    # as long.
    DATABASES["default"]["OPTIONS"]["options"] = "-c synchronous_commit=off"

# Its `flush` empties the database after a test in spite of the triggers of the audit log.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.database"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
