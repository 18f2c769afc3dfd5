"""What `django-admin startproject` writes, and tokenward's part at the end."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# What `make demo` keeps: this site's database, and what it shares with nobody.
DATA_FOLDER = Path(os.environ.get("DATA_FOLDER", BASE_DIR.parent.parent / ".demo"))

SECRET_KEY = (DATA_FOLDER / "django.secret").read_text("utf-8").strip()
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tokenward.django",
    "accounts",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tokenward.django.middleware.TokenwardMiddleware",
    # Behind tokenward's: what it raises, this one may put into words.
    "accounts.middleware.ForPeople",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_FOLDER / "django.db",
    },
}

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR.parent / "static"]

# Browsers keep cookies by host, whatever the port: other sites on your machine have theirs.
SESSION_COOKIE_NAME = "example_django_session"
CSRF_COOKIE_NAME = "example_django_csrf"

CSRF_FAILURE_VIEW = "accounts.middleware.csrf_failure"

# This demo speaks plain http, over which not every browser keeps a secure cookie, not even of your
# own machine. Elsewhere these two are True, and `"secure"` below is left out: True is its default.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS = os.environ.get("HTTPS") == "1"

# What goes wrong is said on standard error.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

# --- tokenward ------------------------------------------------------------------------------------

AUTH_URL = os.environ.get("AUTH_URL", "http://127.0.0.1:8000")
AUTH_SECRET_FILE = Path(os.environ.get("AUTH_SECRET_FILE", DATA_FOLDER / "example-django.secret"))
AUTH_CLIENT = {
    "client_id": "example-django",
    "client_secret": {"file": str(AUTH_SECRET_FILE)},
}
# Ask every time, so that a logout shows at once. The default of tokenward keeps an answer for 60
# seconds: far fewer questions, and a logout shows up to a minute later.
AUTH_TTL = float(os.environ.get("AUTH_TTL", "0"))
AUTH_CACHE_ENTRIES = int(os.environ.get("AUTH_CACHE_ENTRIES", "10000"))

AUTHENTICATION_BACKENDS = [
    # The admin's own form: names and passwords are checked by the auth service.
    "tokenward.django.backends.PasswordBackend",
    "django.contrib.auth.backends.ModelBackend",
]

TOKENWARD = {
    "realm": "example",
    "credentials": [
        {
            # Ask the auth service about each token (RFC 7662) ...
            "type": "introspection",
            "introspection_endpoint": f"{AUTH_URL}/introspect",
            # ... as a client that it knows, ...
            "client_auth": {"method": "client_secret_basic", **AUTH_CLIENT},
            # ... and take only its own tokens, and of these only what is meant for us.
            "issuer": AUTH_URL,
            "audience": "example",
            # For so many seconds an answer is kept, and so many of them in each process.
            "ttl": AUTH_TTL,
            "max_entries": AUTH_CACHE_ENTRIES,
        }
    ],
    "pages": {
        # Who signs in has the token in this cookie.
        "cookie": "example_django",
        # Where a browser is sent that has to sign in. A program gets a 401 as ever.
        "login_view": "sign-in",
        "secure": HTTPS,
    },
    "django": {
        # What the auth service says somebody is, in terms of Django. Nothing maps by itself.
        "staff_roles": ["admin", "editor"],
        "superuser_roles": ["admin"],
        "groups": {"editor": ["Editors"]},
        "login": {"issuer": AUTH_URL, **AUTH_CLIENT},
    },
}
if "REDIS_URL" in os.environ:
    # Several processes share what the auth service said, and hear of a logout when it happens, so
    # that answers can be kept for long. The auth service has the same section.
    TOKENWARD["shared_cache"] = {
        "url": {"env": "REDIS_URL"},
        "secrets": [{"file": os.environ["REDIS_SECRET_FILE"]}],
    }
