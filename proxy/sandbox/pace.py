"""Rate limits as the providers' documents state them: so many calls in a window that slides."""

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(slots=True)
class Pace:
    """At most `calls` in any `window_s` seconds, counted for each caller apart."""

    calls: int
    window_s: float
    clock: Clock
    _taken: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def wait_s(self, caller: str) -> int:
        """Count this call and answer 0; or answer in how many seconds to come back."""
        now = self.clock()
        taken = self._taken[caller]
        while taken and taken[0] <= now - self.window_s:
            taken.popleft()
        if len(taken) < self.calls:
            taken.append(now)
            return 0
        return max(1, math.ceil(taken[0] + self.window_s - now))
