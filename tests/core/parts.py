"""Configs for the rules' tests."""

from typing import Any

from proxy.core.config import Config, ProviderConfig, RouteConfig

PAY: dict[str, Any] = {"networks": ["eip155:8453"]}
THREE: dict[str, Any] = {
    "blockrun": {"kind": "blockrun", "base_url": "https://blockrun.ai/api", "pay": PAY},
    "sunra": {
        "kind": "sunra",
        "base_url": "https://api.sunra.ai",
        "prices": [{"model": "mine/special", "usd": "0.10"}],
    },
    "pomex": {"kind": "pomex", "base_url": "https://api.pomex.ai"},
}


def config(**changes: Any) -> Config:
    """A valid config with the three providers, and with some keys changed."""
    document: dict[str, Any] = {
        "caps": {"per_request": "1.00", "day": "none"},
        "wallet": {"key": {"file": "key"}},
        "providers": THREE,
    }
    return Config.model_validate(document | changes)


def provider(
    base_url: str = "https://p.example", kind: str = "http", **more: Any
) -> ProviderConfig:
    """One provider."""
    return ProviderConfig.model_validate({"kind": kind, "base_url": base_url, **more})


def route(path: str = "/*", provider: str = "p", **more: Any) -> RouteConfig:
    """One route."""
    return RouteConfig.model_validate({"path": path, "provider": provider, **more})
