"""The Flask app that this repository replaces, rebuilt from its description.

One transformers pipeline per gunicorn worker; single, batch, fast single and fast batch endpoints, where fast
means half precision. Settings come from the environment, because gunicorn imports ``app`` by name:

    CHECKPOINT=checkpoints/mobilebert-imdb gunicorn -w 4 benchmarks.rivals.flask_app:app

CHECKPOINT      folder of the model (required)
TORCH_THREADS   threads of each worker; torch's own default where unset
FAST_DTYPE      float16 (default, as the original's ``model.half()``) or bfloat16
BATCH_SIZE      rows of one padded forward pass on the batch endpoints; 0 (default) takes the whole list

float16 on a CPU without AVX512-FP16 is converted around every product and several times slower than
float32. Public MobileBERT's activations are beyond its range and give NaN. CPUs have bfloat16 instead.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
from flask import Flask, Response, jsonify, request
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


def build_pipeline(checkpoint: str, dtype: torch.dtype) -> Any:
    """A text-classification pipeline on the CPU in this precision; cuts texts at its 512 positions."""
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    positions = model.config.max_position_embeddings
    classify = pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, device="cpu")
    return lambda texts, rows: classify(texts, batch_size=rows, truncation=True, max_length=positions)


def create_app(checkpoint: str, fast_dtype: torch.dtype, batch_size: int) -> Flask:
    """The app with both models loaded.

    Bodies are ``{"query": str}`` for single endpoints and ``{"queryList": [str]}`` for batch endpoints.
    """
    app = Flask(__name__)
    basic, fast = build_pipeline(checkpoint, torch.float32), build_pipeline(checkpoint, fast_dtype)
    routes: dict[str, Callable[[], Response]] = {
        "single": lambda: _single(basic),
        "batch": lambda: _batch(basic, batch_size),
        "fast_single": lambda: _single(fast),
        "fast_batch": lambda: _batch(fast, batch_size),
    }
    for name, view in routes.items():
        app.add_url_rule(f"/{name}", name, view, methods=["POST"])
    app.add_url_rule("/health", "health", lambda: "ready")
    return app


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {"prediction": row["label"], "score": row["score"]}


def _single(classify: Any) -> Response:
    return jsonify(_answer(classify([request.get_json()["query"]], 1)[0]))


def _batch(classify: Any, batch_size: int) -> Response:
    queries = request.get_json()["queryList"]
    return jsonify({"predictions": [_answer(row) for row in classify(queries, batch_size or len(queries))]})


def app_from_environment() -> Flask:
    """Read the settings above and build the app."""
    if threads := os.environ.get("TORCH_THREADS"):
        torch.set_num_threads(int(threads))
    dtype = getattr(torch, os.environ.get("FAST_DTYPE", "float16"))
    return create_app(os.environ["CHECKPOINT"], dtype, int(os.environ.get("BATCH_SIZE", "0")))


def __getattr__(name: str) -> Flask:
    # gunicorn asks for `app`; a plain import (tests) must not load a model.
    if name == "app":
        return app_from_environment()
    raise AttributeError(name)
