"""The one observer of a process: what the applications' configuration names as ``on_event``."""

from benchmarks.soak.observer import Observer

metrics = Observer()
