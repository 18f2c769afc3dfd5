"""Receivers of events, for ``on_event``: Prometheus metrics, log lines, several at once.

.. code-block:: python

    from tokenward.observe import PrometheusMetrics, fan_out, log_events

    metrics = PrometheusMetrics()
    verifier = IntrospectionVerifier(client, audience="orders", on_event=metrics)
    metrics.watch(verifier)

A receiver is any callable that takes an `Event`; what it raises changes nothing.
"""

from tokenward.observe.metrics import OUTCOMES, PrometheusMetrics
from tokenward.observe.receivers import fan_out, log_events

__all__ = ["OUTCOMES", "PrometheusMetrics", "fan_out", "log_events"]
