"""How fast the model is: tokens a second of all cores together, measured while there is work."""

# Tokens a second and core, until a run has been measured. Low on purpose (24 layers in fp32 reach 2,000): the
# queue accepts too little for some milliseconds, which is better than too much for seconds.
FIRST_GUESS = 1000.0
# After so many core-seconds of later runs, a run counts half.
HALF_LIFE = 1.0


class Rate:
    """A mean over the last runs, each weighted by the time that it took."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._tokens = self._core_seconds = 0.0

    def record(self, tokens: int, core_seconds: float) -> None:
        """A run of so many tokens took so long, times its threads."""
        kept = 0.5 ** (core_seconds / HALF_LIFE)
        self._tokens = kept * self._tokens + tokens
        self._core_seconds = kept * self._core_seconds + core_seconds

    @property
    def tokens_per_second(self) -> float:
        """Of all cores; never 0."""
        if not self._core_seconds or not self._tokens:
            return self._cores * FIRST_GUESS
        return self._cores * self._tokens / self._core_seconds
