"""Who is measured: the contestants' keys and names, and how each is called."""

from dataclasses import dataclass

from benchmarks.load.callers import Caller

FLASK_RECOMMENDED = "flask_recommended"
FLASK_BEST = "flask_best"
FLASK_LATENCY = "flask_latency"
FLASK_BFLOAT16 = "flask_bfloat16"
PADDED = "padded"
PADDED_UNBATCHED = "padded_unbatched"
SENTIMENT = "sentiment"
SENTIMENT_FAST = "sentiment_fast"

# Those of `rivals.chosen`, as their documentation starts them.
_RIVALS = {
    "infinity": "infinity-emb, torch",
    "infinity_optimum": "infinity-emb, ONNX",
    "litserve": "LitServe",
    "bentoml": "BentoML",
}


def tuned(rival: str) -> str:
    """The key of a rival at the setting that a search found best."""
    return f"{rival}_tuned"


LABELS = {
    FLASK_RECOMMENDED: "Flask app, recommended",
    FLASK_BEST: "Flask app, best throughput",
    FLASK_LATENCY: "Flask app, best latency",
    FLASK_BFLOAT16: "Flask app, changed to bfloat16",
    PADDED: "padded ONNX on Triton",
    PADDED_UNBATCHED: "padded ONNX on Triton, unbatched",
    **_RIVALS,
    **{tuned(key): f"{label}, tuned" for key, label in _RIVALS.items()},
    SENTIMENT: "sentiment (fp32)",
    SENTIMENT_FAST: "sentiment_fast (int8)",
}
# The app as it is described; its half precision is float16, so bfloat16 is a change of its code.
FLASK = (FLASK_RECOMMENDED, FLASK_BEST, FLASK_LATENCY)
OURS = (SENTIMENT, SENTIMENT_FAST)
# Models that Triton must load for each of its contestants.
TRITON_MODELS = {
    PADDED: ("padded", "padded_tokenizer", "padded_fp32"),
    PADDED_UNBATCHED: ("padded_unbatched", "padded_tokenizer_unbatched", "padded_fp32"),
    SENTIMENT: ("sentiment", "mobilebert_tokenizer", "mobilebert_fp32"),
    SENTIMENT_FAST: ("sentiment_fast", "mobilebert_tokenizer", "mobilebert_int8"),
}


@dataclass(frozen=True)
class Contestant:
    """A live server and how to call it; ``base_url`` and ``pid`` are those of its server."""

    key: str
    single: Caller
    batch: Caller
    base_url: str
    pid: int

    @property
    def label(self) -> str:
        """How reports name it."""
        return LABELS[self.key]
