"""The whole machine: example applications, auth service, Redis and store, under load and faults."""
