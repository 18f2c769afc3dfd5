"""What ``django-admin startproject`` writes, with tokenward added as the README says."""

import os
import tempfile
from pathlib import Path

SECRET_KEY = "of the tests, and long enough for every check that looks at it: " + "x9Zq" * 8
DEBUG = False
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tokenward.django",
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
]
AUTHENTICATION_BACKENDS = [
    "tokenward.django.backends.TokenBackend",
    "tokenward.django.backends.PasswordBackend",
    "django.contrib.auth.backends.ModelBackend",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tokenward.django.context_processors.tokenward",
            ]
        },
    }
]
ROOT_URLCONF = "shop.urls"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "Pacific/Kiritimati"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Quick, and Django's own business: passwords of ours are hashed by tokenward.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
_DATABASE = Path(tempfile.gettempdir()) / f"tokenward-shop-{os.getpid()}.sqlite3"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        # A file, so that threads see one database.
        "NAME": str(_DATABASE),
        "TEST": {"NAME": str(_DATABASE)},
    }
}

# Nobody is let in: each test says who is, with `settings.TOKENWARD` or `override_authenticator`.
TOKENWARD = {"realm": "shop", "credentials": []}
