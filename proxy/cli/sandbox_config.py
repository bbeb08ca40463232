"""The config that points a daemon at a sandbox: the demo's, and what `farebox sandbox` prints."""

from collections.abc import Mapping
from typing import Final

from proxy.sandbox import Sandbox

KEY_VARIABLE: Final = "FAREBOX_SANDBOX_KEY"
"""Where the daemon finds the key that the sandbox's Sunra and PomexAI take."""

_TEMPLATE: Final = """\
listen: "{listen}"
state_dir: "{state_dir}"
wallet:
  key: {{file: "{wallet}"}}
caps: {{{caps}}}
providers:
  blockrun:
    kind: blockrun
    base_url: "{blockrun}"
    pay: {{networks: ["eip155:8453"]}}
  sunra:
    kind: sunra
    base_url: "{sunra}"
    auth: {{bearer: {{env: {variable}}}}}
    prices:
      - {{model: "bytedance/seedance-2.0-relay*", usd_per_second: "0.15", default_seconds: 5}}
      - {{path: "/v1/ark/assets*", usd: "0.00"}}
  pomex:
    kind: pomex
    base_url: "{pomex}"
    auth: {{bearer: {{env: {variable}}}}}
limits: {{drain_s: {drain_s}}}"""


def config_for(
    town: Sandbox,
    caps: Mapping[str, str],
    *,
    listen: str = "127.0.0.1:8402",
    wallet: str = "wallet.key",
    state_dir: str = "state",
    drain_s: int = 30,
) -> str:
    """Write the config of a daemon that is to talk to this sandbox; paths start at its file."""
    return _TEMPLATE.format(
        listen=listen,
        wallet=wallet,
        state_dir=state_dir,
        caps=", ".join(f'{window}: "{usd}"' for window, usd in caps.items()),
        blockrun=town.blockrun_url,
        sunra=town.sunra_url,
        pomex=town.pomex_url,
        variable=KEY_VARIABLE,
        drain_s=drain_s,
    )
