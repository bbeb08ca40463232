"""What the daemon counts, in Prometheus' text format.

Labels come from closed sets: names in the config, our own states and codes. Nothing that a peer
says becomes a label, for each new value would be a new time series. Money is an integer of
millionths everywhere else; here, on its way to a screen, it becomes a float of dollars.
"""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from proxy.core.money import USD_DECIMALS

UPSTREAM_BUCKETS_S: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900)
"""From a warm cache to the longest generation that is waited for."""

# Else each counter has a twin that only says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call] # not annotated in the library


class Metrics:
    """One daemon's counters, in a registry of their own: several may live in one process."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "farebox_requests",
            "Requests answered, by who served them, class of status and error code of ours.",
            ("provider", "code_class", "error"),
            registry=registry,
        )
        self._payments = Counter(
            "farebox_payments", "Payments that entered a state.", ("state",), registry=registry
        )
        self._spent = Counter("farebox_spent_usd", "Dollars that were taken.", registry=registry)
        self._exposure = Gauge(
            "farebox_exposure_usd",
            "Dollars that were taken plus those that could still be taken.",
            registry=registry,
        )
        self._cap = Gauge(
            "farebox_cap_usd",
            "The cap in force, in dollars.",
            ("scope", "window"),
            registry=registry,
        )
        self._upstream = Histogram(
            "farebox_upstream_seconds",
            "Time from a request to the head of the provider's answer.",
            ("provider",),
            registry=registry,
            buckets=UPSTREAM_BUCKETS_S,
        )
        self._alerts = Gauge(
            "farebox_alerts", "What waits for a person, by kind.", ("code",), registry=registry
        )
        self._unknown = Gauge(
            "farebox_unknown_payments",
            "Payments of which nobody knows whether they were taken.",
            registry=registry,
        )
        self._reloaded = Gauge(
            "farebox_config_last_reload_successful",
            "1 if the config in force is the one in the file.",
            registry=registry,
        )
        self._reloaded.set(1)
        self._connections = Gauge(
            "farebox_connections", "Open client connections.", registry=registry
        )

    def request(self, provider: str, status: int, error: str) -> None:
        """Count a request: `provider` is a configured name, `error` one of our codes or empty."""
        self._requests.labels(provider, f"{status // 100}xx", error).inc()

    def payment(self, state: str) -> None:
        """Count a payment that entered a state of the ledger."""
        self._payments.labels(state).inc()

    def spent(self, usd: int) -> None:
        """Count dollars, in millionths, that were taken."""
        self._spent.inc(usd / 10**USD_DECIMALS)

    def exposure(self, usd: int) -> None:
        """Set the dollars, in millionths, that were taken plus those that could still be."""
        self._exposure.set(usd / 10**USD_DECIMALS)

    def caps(self, caps: dict[tuple[str, str], int]) -> None:
        """Set the caps in force, in millionths by (scope, window); those not named are gone."""
        self._cap.clear()
        for (scope, window), usd in caps.items():
            self._cap.labels(scope, window).set(usd / 10**USD_DECIMALS)

    def upstream(self, provider: str, seconds: float) -> None:
        """Observe how long a configured provider took to begin its answer."""
        self._upstream.labels(provider).observe(seconds)

    def alerts(self, codes: list[str]) -> None:
        """Set what waits for a person: a code of a closed set for each thing."""
        self._alerts.clear()
        for code in codes:
            self._alerts.labels(code).inc()

    def unknown(self, count: int) -> None:
        """Set how many payments have an unknown outcome."""
        self._unknown.set(count)

    def reloaded(self, *, ok: bool) -> None:
        """Say whether the config in force is the one in the file."""
        self._reloaded.set(ok)

    def connections(self, count: int) -> None:
        """Set how many client connections are open."""
        self._connections.set(count)

    def render(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self._registry)
