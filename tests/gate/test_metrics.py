"""What is counted, in the words of the README."""

from proxy.metrics import Metrics


def test_everything_is_there() -> None:
    """Every metric has its name, its labels and its unit."""
    metrics = Metrics()
    metrics.request("shop", 201, "")
    metrics.request("farebox", 429, "cap_day")
    metrics.payment("settled")
    metrics.spent(1_250_000)
    metrics.exposure(500_000)
    metrics.caps({("everything", "day"): 20_000_000, ("provider:shop", "hour"): 1})
    metrics.upstream("shop", 0.3)
    metrics.reloaded(ok=False)
    metrics.connections(3)
    lines = metrics.render().decode().splitlines()
    for line in (
        'farebox_requests_total{code_class="2xx",error="",provider="shop"} 1.0',
        'farebox_requests_total{code_class="4xx",error="cap_day",provider="farebox"} 1.0',
        'farebox_payments_total{state="settled"} 1.0',
        "farebox_spent_usd_total 1.25",
        "farebox_exposure_usd 0.5",
        'farebox_cap_usd{scope="everything",window="day"} 20.0',
        'farebox_cap_usd{scope="provider:shop",window="hour"} 1e-06',
        'farebox_upstream_seconds_bucket{le="0.5",provider="shop"} 1.0',
        "farebox_config_last_reload_successful 0.0",
        "farebox_connections 3.0",
    ):
        assert line in lines
    assert not any("_created" in line for line in lines)


def test_caps_that_are_gone_are_gone() -> None:
    """A cap that a new config does not have is no longer reported."""
    metrics = Metrics()
    metrics.caps({("everything", "day"): 1})
    metrics.caps({("everything", "hour"): 1})
    assert b'window="day"' not in metrics.render()
    assert b'window="hour"' in metrics.render()


def test_two_daemons_in_one_process() -> None:
    """Each has its own counts."""
    first, second = Metrics(), Metrics()
    first.spent(1_000_000)
    assert b"farebox_spent_usd_total 1.0" in first.render()
    assert b"farebox_spent_usd_total 0.0" in second.render()
