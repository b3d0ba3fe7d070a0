"""Rate limits in memory: one process serves a study, so nothing needs to be shared."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Limiter:
    """A token bucket per key: ``rate`` requests a second on average, ``burst`` at once. Keys at rest are forgotten."""

    rate: float
    burst: float
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, key: str, now: float | None = None) -> float:
        """Take one request from the key's bucket: 0 when it may go ahead, else the seconds to wait (nothing is taken then)."""
        moment = time.monotonic() if now is None else now
        with self._lock:
            if len(self._buckets) > 10_000:
                full = [k for k, (left, at) in self._buckets.items() if left + (moment - at) * self.rate >= self.burst]
                for k in full:
                    del self._buckets[k]
            left, at = self._buckets.get(key, (self.burst, moment))
            left = min(self.burst, left + (moment - at) * self.rate)
            if left < 1:
                self._buckets[key] = (left, moment)
                return (1 - left) / self.rate
            self._buckets[key] = (left - 1, moment)
            return 0.0
