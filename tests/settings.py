"""The project's settings for the test suite: a home of its own, quick hashing, mail in memory."""

import os
import tempfile

os.environ.setdefault("MEGABRAIN_HOME", tempfile.mkdtemp(prefix="megabrain-tests-"))

from megabrain.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
