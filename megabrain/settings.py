"""Every setting, read once from the environment, each also from a file named by NAME_FILE.

With nothing set, MegaBrain runs on one machine: SQLite, an in-memory cache and a file-based
queue under MEGABRAIN_HOME. DATABASE_URL and REDIS_URL switch to PostgreSQL and Redis. An https
MEGABRAIN_BASE_URL (or MEGABRAIN_PRODUCTION=1) makes it a production installation, which refuses
to start on a missing or weak setting and names it. docs/settings.md describes each one.
"""

import base64
import gc
import os
import secrets
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.contrib.messages import constants as messages
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from megabrain import __version__, logs
from megabrain.home import generated_secret
from megabrain.schedule import SCHEDULE

# What is loaded from here on is there to stay: to look for garbage in it takes a quarter of the
# time of a start. When the applications are ready, megabrain/apps.py turns it on again.
gc.disable()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()

# Where and what this process is ------------------------------------------------------------

MEGABRAIN_VERSION = __version__
MEGABRAIN_HOME = Path(env.str("MEGABRAIN_HOME", default=str(BASE_DIR / "var"))).resolve()
MEGABRAIN_HOME.mkdir(parents=True, exist_ok=True)
PORT = env.int("PORT", default=8000)
MEGABRAIN_BASE_URL = env.str("MEGABRAIN_BASE_URL", default=f"http://127.0.0.1:{PORT}").rstrip("/")
HTTPS = MEGABRAIN_BASE_URL.startswith("https://")
MEGABRAIN_PRODUCTION = env.bool("MEGABRAIN_PRODUCTION", default=HTTPS)
MEGABRAIN_SERVE = env.str("MEGABRAIN_SERVE", default="both")
MEGABRAIN_SIMULATOR = env.bool("MEGABRAIN_SIMULATOR", default=False)
DEBUG = env.bool("DEBUG", default=False)

if MEGABRAIN_SERVE not in {"site", "gateway", "both"}:
    raise ImproperlyConfigured(
        f"MEGABRAIN_SERVE is {MEGABRAIN_SERVE!r}: use site, gateway or both."
    )
if MEGABRAIN_PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG must be off in production: it shows secrets in error pages.")
if MEGABRAIN_PRODUCTION and MEGABRAIN_SIMULATOR:
    raise ImproperlyConfigured(
        "MEGABRAIN_SIMULATOR must be off in production: it answers in place of real providers."
    )

# Secrets -----------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY", default="")
if MEGABRAIN_PRODUCTION and (len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10):
    raise ImproperlyConfigured(
        "SECRET_KEY is missing or weak: production needs 50 or more random characters."
    )
SECRET_KEY = SECRET_KEY or generated_secret(
    MEGABRAIN_HOME / "secret.key", lambda: secrets.token_urlsafe(64)
)

# Former values of SECRET_KEY, while what was signed or sealed with them is still in use.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])

MEGABRAIN_VAULT_KEYS = env.str("MEGABRAIN_VAULT_KEYS", default="")
if not MEGABRAIN_VAULT_KEYS and not MEGABRAIN_PRODUCTION:
    MEGABRAIN_VAULT_KEYS = generated_secret(
        MEGABRAIN_HOME / "vault.keys",
        # An id of its own: if the file is lost, the next one is not mistaken for it.
        lambda: (
            f"home-{secrets.token_hex(3)}:" + base64.b64encode(secrets.token_bytes(32)).decode()
        ),
    )

# Addresses ---------------------------------------------------------------------------------

_host = urlsplit(MEGABRAIN_BASE_URL).hostname or "localhost"
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[_host] if MEGABRAIN_PRODUCTION else [_host, "localhost", "127.0.0.1"]
)
CSRF_TRUSTED_ORIGINS = [MEGABRAIN_BASE_URL]
ROOT_URLCONF = "megabrain.urls"
ASGI_APPLICATION = "megabrain.asgi.application"
# The number of reverse proxies in front of us that set X-Forwarded-For and X-Forwarded-Proto.
MEGABRAIN_TRUSTED_PROXIES = env.int("MEGABRAIN_TRUSTED_PROXIES", default=0)
if MEGABRAIN_TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Applications ------------------------------------------------------------------------------

INSTALLED_APPS = [
    "megabrain",
    "megabrain.site",
    "billing",
    "byok",
    "orgs",
    "megabrain.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "megabrain.site.middleware.request_id",
    "megabrain.site.middleware.browser_security",
    "django.middleware.security.SecurityMiddleware",
    "megabrain.site.static.StaticFiles",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "orgs.sessions.note_activity",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "megabrain.site.middleware.htmx_answers",
    "megabrain.site.middleware.wrong_methods",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "megabrain.site.context.frame",
                "megabrain.simulator.context.simulator",
            ],
        },
    }
]

# Data --------------------------------------------------------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": env.db_url(
        "DATABASE_URL", default=f"sqlite:///{MEGABRAIN_HOME / 'megabrain.sqlite3'}"
    )
}
_engine = DATABASES["default"]["ENGINE"]
if _engine == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Immediate transactions take the write lock at BEGIN, so that they wait instead of failing.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        {
            "pool": {
                "min_size": 1,
                "max_size": env.int("DATABASE_POOL_SIZE", default=16),
                # A pool that lost its database looks for it again at ever longer intervals, until
                # it gives up; whoever asks next makes it begin anew. It is back before leases of
                # calls that go on have run out (billing/holds.py).
                "timeout": 5,
                "reconnect_timeout": 5,
            }
        }
    )
    # A connection that broke while nobody used it fails no one.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = env.str("REDIS_URL", default="")
CACHES = {
    "default": {
        "BACKEND": "megabrain.cache.RedisOrMemory",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# Celery ------------------------------------------------------------------------------------

CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 60
# A worker that is busy leaves what it cannot begin to the others.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
if REDIS_URL:
    CELERY_BROKER_URL = REDIS_URL
else:
    _queue = MEGABRAIN_HOME / "queue"
    for _folder in ("messages", "control", "processed"):
        (_queue / _folder).mkdir(parents=True, exist_ok=True)
    CELERY_BROKER_URL = "filesystem://localhost"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # One folder both ways: web and worker are peers on the same machine.
        "data_folder_in": str(_queue / "messages"),
        "data_folder_out": str(_queue / "messages"),
        "control_folder": str(_queue / "control"),
        "processed_folder": str(_queue / "processed"),
        "store_processed": False,
        "polling_interval": 0.2,
    }
CELERY_BEAT_SCHEDULE_FILENAME = str(MEGABRAIN_HOME / "beat-schedule")
CELERY_BEAT_SCHEDULE = SCHEDULE

# The audit log -----------------------------------------------------------------------------

# Where the heads of all chains are saved every day.
MEGABRAIN_AUDIT_ANCHORS = Path(
    env.str("MEGABRAIN_AUDIT_ANCHORS", default=str(MEGABRAIN_HOME / "anchors"))
).resolve()

# Sign-in -----------------------------------------------------------------------------------

AUTH_USER_MODEL = "orgs.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = reverse_lazy("account_login")
LOGIN_REDIRECT_URL = reverse_lazy("dashboard")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 3600

ACCOUNT_ADAPTER = "orgs.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "orgs.forms.sign_in.LoginForm",
    "signup": "orgs.forms.sign_in.SignupForm",
    "reset_password": "orgs.forms.sign_in.ResetPasswordForm",
    "reset_password_from_key": "orgs.forms.sign_in.NewPasswordForm",
    "change_password": "orgs.forms.sign_in.ChangePasswordForm",
    "add_email": "orgs.forms.sign_in.ChangeEmailForm",
    "confirm_email_verification_code": "orgs.forms.sign_in.ConfirmEmailForm",
    "reauthenticate": "orgs.forms.sign_in.PasswordAgainForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
# A code has to be entered before anyone gets in. Only so can signing up with somebody else's
# address look exactly like signing up with a new one.
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = 30 * 60
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = 3
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_SESSION_REMEMBER = True
# Key changes and security settings ask again after this long.
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 15 * 60
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,60/h/ip,5/5m/key,20/h/key",
    "signup": "10/m/ip,60/h/ip",
    "confirm_email": "1/10s/key,10/h/key",
    "reset_password": "10/m/ip,5/m/key,10/h/key",
    "reset_password_from_key": "20/m/ip",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "reauthenticate": "10/m/user",
}
MFA_ADAPTER = "orgs.adapter.TwoFactorAdapter"
MFA_FORMS = {
    "authenticate": "orgs.forms.sign_in.CodeForm",
    "reauthenticate": "orgs.forms.sign_in.CodeAgainForm",
    "activate_totp": "orgs.forms.sign_in.ActivateCodesForm",
    "add_webauthn": "orgs.forms.sign_in.AddPasskeyForm",
    "edit_webauthn": "orgs.forms.sign_in.RenamePasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "MegaBrain"
# Browsers allow passkeys on http for localhost only; there the origin has no certificate to check.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not HTTPS

# Without a mail server, letters are printed where MegaBrain was started.
_mail = env.str("EMAIL_URL", default="")
if MEGABRAIN_PRODUCTION and MEGABRAIN_SERVE != "gateway" and not _mail:
    raise ImproperlyConfigured(
        "EMAIL_URL is missing: production needs a mail server, or nobody can confirm an address."
    )
MEGABRAIN_MAIL_IN_TERMINAL = not _mail
if _mail:
    vars().update(env.email_url_config(_mail))
else:
    EMAIL_BACKEND = "orgs.terminal_mail.EmailBackend"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"MegaBrain <no-reply@{_host}>")

# Browser security --------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "megabrain.site.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
MESSAGE_TAGS = {messages.ERROR: "danger"}

# Language, time, static files --------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "megabrain.formats"
STATIC_URL = "/static/"
STATIC_ROOT = MEGABRAIN_HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# The gateway -------------------------------------------------------------------------------

_UPSTREAM = ("MEGABRAIN_UPSTREAM_", "_URL")
# Provider id -> base URL, for egress proxies and the simulator. Only the environment sets it.
MEGABRAIN_UPSTREAM_URLS = {
    name.removeprefix(_UPSTREAM[0]).removesuffix(_UPSTREAM[1]).lower().replace("_", "-"): url
    for name, url in os.environ.items()
    if name.startswith(_UPSTREAM[0]) and name.endswith(_UPSTREAM[1])
}
MEGABRAIN_UPSTREAM_CONNECTIONS = env.int("MEGABRAIN_UPSTREAM_CONNECTIONS", default=8192)
MEGABRAIN_CONNECT_SECONDS = env.float("MEGABRAIN_CONNECT_SECONDS", default=5)
MEGABRAIN_FIRST_BYTE_SECONDS = env.float("MEGABRAIN_FIRST_BYTE_SECONDS", default=120)
MEGABRAIN_IDLE_SECONDS = env.float("MEGABRAIN_IDLE_SECONDS", default=60)
MEGABRAIN_TOTAL_SECONDS = env.float("MEGABRAIN_TOTAL_SECONDS", default=1800)
MEGABRAIN_KEEPALIVE_SECONDS = env.float("MEGABRAIN_KEEPALIVE_SECONDS", default=15)
MEGABRAIN_HANG_UP_SECONDS = env.float("MEGABRAIN_HANG_UP_SECONDS", default=30)
MEGABRAIN_DRAIN_SECONDS = env.float("MEGABRAIN_DRAIN_SECONDS", default=120)
MEGABRAIN_REQUESTS_PER_MINUTE = env.int("MEGABRAIN_REQUESTS_PER_MINUTE", default=600)
MEGABRAIN_CONCURRENT_CALLS = env.int("MEGABRAIN_CONCURRENT_CALLS", default=128)

# Endpoints that customers name themselves, and networks of the operator's that they may be in.
MEGABRAIN_CUSTOM_ENDPOINTS = env.bool("MEGABRAIN_CUSTOM_ENDPOINTS", default=False)
try:
    MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS = [
        ip_network(text.strip())
        for text in env.list("MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS", default=[])
    ]
except ValueError as error:
    raise ImproperlyConfigured(
        f"MEGABRAIN_CUSTOM_ENDPOINT_NETWORKS is a list such as 10.1.0.0/16,fd00::/8: {error}."
    ) from None

if MEGABRAIN_FIRST_BYTE_SECONDS > 600:
    raise ImproperlyConfigured("MEGABRAIN_FIRST_BYTE_SECONDS may be at most 600.")

# Provider keys -----------------------------------------------------------------------------

# After so many days a key is called old, or unused; 0 means never.
MEGABRAIN_KEY_OLD_DAYS = env.int("MEGABRAIN_KEY_OLD_DAYS", default=365)
MEGABRAIN_KEY_UNUSED_DAYS = env.int("MEGABRAIN_KEY_UNUSED_DAYS", default=90)
if not (0 <= MEGABRAIN_KEY_OLD_DAYS <= 36500 and 0 <= MEGABRAIN_KEY_UNUSED_DAYS <= 36500):
    raise ImproperlyConfigured(
        "MEGABRAIN_KEY_OLD_DAYS and MEGABRAIN_KEY_UNUSED_DAYS are from 0, which means never, "
        "to 36500."
    )

# Usage -------------------------------------------------------------------------------------

# Records of single requests are kept for so many days, their sums by day for good; 0: both.
MEGABRAIN_USAGE_DAYS = env.int("MEGABRAIN_USAGE_DAYS", default=400)
if MEGABRAIN_USAGE_DAYS and not 31 <= MEGABRAIN_USAGE_DAYS <= 36500:
    raise ImproperlyConfigured(
        "MEGABRAIN_USAGE_DAYS is from 31 to 36500, or 0 to keep every record."
    )

# The catalogue -----------------------------------------------------------------------------

# How often each source is asked; 0: only when somebody says so.
MEGABRAIN_CATALOGUE_HOURS = env.int("MEGABRAIN_CATALOGUE_HOURS", default=6)
MEGABRAIN_CATALOGUE_FEED = env.str("MEGABRAIN_CATALOGUE_FEED", default="")
MEGABRAIN_CATALOGUE_GRACE_DAYS = env.int("MEGABRAIN_CATALOGUE_GRACE_DAYS", default=7)
MEGABRAIN_CATALOGUE_REVIEW = env.bool("MEGABRAIN_CATALOGUE_REVIEW", default=False)

if MEGABRAIN_CATALOGUE_HOURS < 0 or MEGABRAIN_CATALOGUE_GRACE_DAYS < 0:
    raise ImproperlyConfigured(
        "MEGABRAIN_CATALOGUE_HOURS and MEGABRAIN_CATALOGUE_GRACE_DAYS cannot be negative."
    )
if MEGABRAIN_CATALOGUE_FEED and urlsplit(MEGABRAIN_CATALOGUE_FEED).scheme not in {"http", "https"}:
    raise ImproperlyConfigured(
        "MEGABRAIN_CATALOGUE_FEED is an address such as https://models.dev/api.json."
    )

# Balances ----------------------------------------------------------------------------------

# How people add credits where no payments are taken: an address, an e-mail address, or a sentence.
MEGABRAIN_CREDITS_HELP = env.str("MEGABRAIN_CREDITS_HELP", default="").strip()

# Payments ----------------------------------------------------------------------------------

# Stripe takes payments if it is set up; otherwise staff grant all credit.
MEGABRAIN_STRIPE_SECRET_KEY = env.str("MEGABRAIN_STRIPE_SECRET_KEY", default="").strip()
MEGABRAIN_STRIPE_WEBHOOK_SECRET = env.str("MEGABRAIN_STRIPE_WEBHOOK_SECRET", default="").strip()
MEGABRAIN_STRIPE_URL = env.str("MEGABRAIN_STRIPE_URL", default="https://api.stripe.com").rstrip("/")
# In whole dollars, what one payment can be.
MEGABRAIN_TOP_UP_LEAST = env.int("MEGABRAIN_TOP_UP_LEAST", default=5)
MEGABRAIN_TOP_UP_MOST = env.int("MEGABRAIN_TOP_UP_MOST", default=1000)

if bool(MEGABRAIN_STRIPE_SECRET_KEY) != bool(MEGABRAIN_STRIPE_WEBHOOK_SECRET):
    _missing = "WEBHOOK_SECRET" if MEGABRAIN_STRIPE_SECRET_KEY else "SECRET_KEY"
    raise ImproperlyConfigured(
        f"MEGABRAIN_STRIPE_{_missing} is missing: Stripe takes payments with both "
        "MEGABRAIN_STRIPE_SECRET_KEY and MEGABRAIN_STRIPE_WEBHOOK_SECRET, or not at all."
    )
if MEGABRAIN_STRIPE_SECRET_KEY and not (
    MEGABRAIN_STRIPE_SECRET_KEY.startswith(("sk_live_", "sk_test_", "rk_live_", "rk_test_"))
    and MEGABRAIN_STRIPE_SECRET_KEY.isascii()
    and MEGABRAIN_STRIPE_SECRET_KEY.isprintable()
):
    raise ImproperlyConfigured(
        "MEGABRAIN_STRIPE_SECRET_KEY is none of Stripe's secret or restricted keys, which begin "
        "with sk_live_, sk_test_, rk_live_ or rk_test_."
    )
if MEGABRAIN_STRIPE_WEBHOOK_SECRET and not (
    MEGABRAIN_STRIPE_WEBHOOK_SECRET.startswith("whsec_")
    and len(MEGABRAIN_STRIPE_WEBHOOK_SECRET) >= 32
    and len(set(MEGABRAIN_STRIPE_WEBHOOK_SECRET)) >= 10
):
    raise ImproperlyConfigured(
        "MEGABRAIN_STRIPE_WEBHOOK_SECRET is missing or weak: copy the signing secret that Stripe "
        "shows for the webhook, which begins with whsec_. Whoever guesses it makes credit."
    )
if urlsplit(MEGABRAIN_STRIPE_URL).scheme not in {"http", "https"}:
    raise ImproperlyConfigured("MEGABRAIN_STRIPE_URL is an address: https://api.stripe.com.")
if not 1 <= MEGABRAIN_TOP_UP_LEAST <= MEGABRAIN_TOP_UP_MOST <= 100_000:
    raise ImproperlyConfigured(
        "MEGABRAIN_TOP_UP_LEAST and MEGABRAIN_TOP_UP_MOST are whole dollars from 1 to 100000, the "
        "least first."
    )

# Logging -----------------------------------------------------------------------------------

LOGGING = logs.configuration(
    level=env.str("LOG_LEVEL", default="INFO").upper(), as_json=MEGABRAIN_PRODUCTION
)
