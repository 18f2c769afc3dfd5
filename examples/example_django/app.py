"""Serve the site: `python examples/example_django/app.py --bind 127.0.0.1:8002`.

Makes the database first if there is none. A site in earnest does that when it is deployed, and has
its style sheets served by the server in front of it.
"""

import argparse
import os

import django
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from waitress.server import create_server

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Django site that tokenward protects.")
    parser.add_argument("--bind", default="127.0.0.1:8002", metavar="HOST:PORT")
    bind = parser.parse_args().bind
    os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    server = create_server(StaticFilesHandler(get_wsgi_application()), listen=bind)
    print(f"Serving on http://{bind}", flush=True)
    server.run()
