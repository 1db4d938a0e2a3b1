"""Idle servers must cost nothing, or measuring one beside the others would be unfair."""

from benchmarks.measure.processes import cores_used
from benchmarks.servers.arena import Arena


def measure_idle(arena: Arena, seconds: float = 1.0) -> dict[str, float]:
    """Cores that each contestant's server keeps busy while nobody calls it."""
    pids = {contestant.pid: key for key, contestant in arena.contestants.items()}
    return {key: round(cores_used(pid, seconds), 4) for pid, key in pids.items()}
