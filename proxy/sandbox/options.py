"""What can be set about the sandbox: the defaults suit a person, tests shorten the waits."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Where the three providers listen and how they behave.

    A port of 0 means any free one. `job_s` is how long a generation takes, half of it in the queue;
    `asset_s` is how long an asset stays `processing`; `balance` is what every payer owns at the
    start, in the asset's smallest unit (100 USDC by default). `api_key` is the bearer key that
    Sunra and PomexAI take.
    """

    host: str = "127.0.0.1"
    blockrun_port: int = 0
    sunra_port: int = 0
    pomex_port: int = 0
    api_key: str = "sk-sandbox"
    job_s: float = 2.0
    asset_s: float = 1.0
    balance: int = 100_000_000

    def __post_init__(self) -> None:
        if min(self.job_s, self.asset_s, self.balance) < 0:
            raise ValueError("job_s, asset_s and balance are at least 0")
        if not self.api_key:
            raise ValueError("api_key is not empty")
