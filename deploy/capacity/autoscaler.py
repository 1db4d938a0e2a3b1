"""The autoscaler of deploy/kubernetes, with its delays."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Scaler:
    """Kubernetes' HorizontalPodAutoscaler on the mean wait of the last minute, with its real delays.

    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ says:
    desired = ceil(now * metric / target), and nothing within 10% of the target.
    Defaults are those of deploy/kubernetes/components/autoscaling/hpa.yaml.
    Times in seconds.
    """

    least: int = 3
    most: int = 20
    target: float = 0.05
    every: float = 15.0  # the controller's own period
    window: float = 60.0  # of the metric's rate
    start: float = 40.0  # until a new pod is ready: scheduling, image, loading the models
    up_period: float = 30.0
    calm: float = 300.0  # stabilisation before it scales down
    down_period: float = 60.0

    def __post_init__(self) -> None:
        self.wanted = self.least
        self._waits: list[tuple[float, float]] = []
        self._next = self.every
        self._pending: list[tuple[float, int]] = []
        self._raised = self._lowered = float("-inf")
        self._desired: list[tuple[float, int]] = []

    def saw(self, now: float, wait: float) -> None:
        """A request that arrived now waits so long."""
        self._waits.append((now, wait))

    def decide(self, now: float) -> list[tuple[float, int]]:
        """Numbers of ready replicas that came into force since the last call, each with its time."""
        while self._next <= now:
            self._look(self._next)
            self._next += self.every
        ready = [change for change in self._pending if change[0] <= now]
        self._pending = [change for change in self._pending if change[0] > now]
        return ready

    def _look(self, now: float) -> None:
        self._waits = [(when, wait) for when, wait in self._waits if when > now - self.window]
        metric = float(np.mean([wait for _, wait in self._waits])) if self._waits else 0.0
        ratio = metric / self.target
        desired = self.wanted if abs(ratio - 1) <= 0.1 else int(np.ceil(self.wanted * ratio))
        desired = min(self.most, max(self.least, desired))
        self._desired = [(when, each) for when, each in self._desired if when > now - self.calm]
        self._desired.append((now, desired))
        if desired > self.wanted and now - self._raised >= self.up_period:
            self._raised = now
            self._set(min(desired, max(2 * self.wanted, self.wanted + 2)), now + self.start)
        elif self._may_lower(now):
            self._lowered = now
            self._set(self.wanted - 1, now)

    def _may_lower(self, now: float) -> bool:
        calm = now >= self.calm and now - self._lowered >= self.down_period
        return calm and max(each for _, each in self._desired) < self.wanted

    def _set(self, replicas: int, when: float) -> None:
        self.wanted = replicas
        self._pending.append((when, replicas))
