"""The settings of the Django example, with the soak's configuration."""

from importlib import import_module

from benchmarks.soak.apps import soaked

# By its name: it is found where gunicorn was told to look, in the folder of the example.
_example = import_module("project.settings")
globals().update({name: value for name, value in vars(_example).items() if name.isupper()})
TOKENWARD = soaked(_example.TOKENWARD)
