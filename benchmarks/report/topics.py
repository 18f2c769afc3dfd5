"""What each plot of results says: its title, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A plot of results.

    Attributes:
        title: Above the plot.
        about: What is compared with what, in a sentence or two.
    """

    title: str
    about: str


TOPICS = {
    "cached-verify": Topic(
        "A token that was verified before",
        "Over the least that a cache must do: SHA-256 of the token, a look into a dict, the "
        "expiry. Who keeps nothing asks, or verifies, again each time. Each panel has the floor "
        "and the tokenward of its own rounds; the bar is in a panel of its own.",
    ),
    "threads": Topic(
        "The same calls from eight threads, over one",
        "Calls a second of eight threads together, over those of one thread: 1 is what one "
        "interpreter allows to work that never lets go of it. The floor is SHA-256, a look into a "
        "dict, and the expiry. What stands in one panel took turns in one process.",
    ),
    "first-verify": Topic(
        "A signed token nobody has seen",
        "Over PyJWT's decode with the key at hand. tokenward has every rule on and makes a "
        "Principal; the others check what they check, and clasp-jwt neither aud nor iss. The bars "
        "are measured apart; beside the peers stands the tokenward of the same rounds.",
    ),
    "long-token": Topic(
        "A signed token of 5 kB",
        "Each over itself with a token of 0.8 kB (RS256): what a longer token adds. The bar is "
        "measured apart; beside the peers stands the tokenward of the same rounds.",
    ),
    "new-token": Topic(
        "Introspection of a token nobody has asked about",
        "Over requests.Session.post to an endpoint that answers at once, in a process of its own. "
        "The bar is measured apart; beside the peers stands the tokenward of the same rounds.",
    ),
    "cold-token": Topic(
        "32 threads present one token that nobody knows",
        "How many calls reach the endpoint, and when the last thread has its answer, over the "
        "endpoint's latency; where the endpoint hangs, over the callers' deadline.",
    ),
    "unknown-kids": Topic(
        "Tokens that name keys which nobody has",
        "How often the keys are fetched, and the p99 of a good token beside these tokens over its "
        "p99 without them, while a fetch takes 50 ms. The p99 that has the bar is measured apart.",
    ),
    "flask-view": Topic(
        "A protected Flask view",
        "Over the same view without protection, calling the WSGI application itself. The bar is "
        "over the plain view of the same application; beside the peers it is the plain view of an "
        "application that protects nothing. tokenward alone is a cached introspection; beside it "
        "tokenward with cache_entries=0, which verifies the signature each time, as they do.",
    ),
    "django-view": Topic(
        "A protected Django view",
        "Over the same view without protection, calling the WSGI application itself. The bar is "
        "over the plain view of the same project; beside the peers it is the plain view of a "
        "project without anybody's middleware. tokenward alone is a cached introspection; beside "
        "it tokenward with cache_entries=0, which verifies the signature each time, as they do.",
    ),
    "drf-view": Topic(
        "A protected view of Django REST framework",
        "Over the same view without protection, calling the WSGI application itself. The bar is "
        "over the plain view of the same project; beside the peers it is the plain view of a "
        "project without anybody's middleware. tokenward alone is a cached introspection; beside "
        "it tokenward with cache_entries=0, which verifies the signature each time, as they do.",
    ),
    "memory": Topic(
        "Many distinct tokens pass",
        "What a remembered token weighs, and what the process gains from the time on when a "
        "bounded cache is full.",
    ),
    "login": Topic("A login", "Over the one bcrypt hash of cost 12 that it cannot do without."),
    "import-time": Topic(
        "What an import costs",
        "CPU time of an interpreter that imports it, less that of one that imports nothing. The "
        "bars are over the libraries that cannot be done without; beside the peers it is over "
        "importing requests.",
    ),
    "shared-hit": Topic(
        "A token that another process has verified",
        "Found in Redis, opened, judged by this process's own policy and kept; over a bare GET by "
        "redis-py.",
    ),
    "issuing": Topic(
        "The auth service behind one worker",
        "Requests over those to a bare WSGI view that answers as much, by one caller that keeps "
        "its connection. MongoDB's protocol is spoken by SecantusDB. Beside the servers of others "
        "stands the tokenward of the same rounds.",
    ),
    "machine-load": Topic(
        "The whole machine under load",
        "gunicorn with both example applications, a remote auth service, Redis as shared cache; "
        "load from a process of its own on loopback.",
    ),
}


def topic(name: str) -> Topic:
    """Return what is known of a plot; of an unknown one, a title made from its name."""
    return TOPICS.get(name) or Topic(name.replace("-", " ").capitalize(), "")
