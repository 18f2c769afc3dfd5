"""The soak: the whole machine under a bounded load for an hour, looked at from outside.

``python -m benchmarks.soak`` (``make soak``); the environment variables ``SOAK_S``, ``SOAK_RATE``
and ``SOAK_STORE`` are those of `benchmarks.soak.terms.Terms`. Memory, descriptors, threads and the
store have to stay flat (`benchmarks.soak.judging`), and what everybody counted has to agree to the
last request (`benchmarks.soak.ledger`).
"""
