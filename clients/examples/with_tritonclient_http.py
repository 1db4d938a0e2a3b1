"""tritonclient over HTTP, with binary tensors. Usage: python with_tritonclient_http.py [127.0.0.1:8000]"""

import sys

import numpy as np
import tritonclient.http as triton

URL = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
REVIEWS = ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]

text = triton.InferInput("text", [len(REVIEWS), 1], "BYTES")
text.set_data_from_numpy(np.array([[review.encode()] for review in REVIEWS], dtype=np.object_))

# A client belongs to the thread that made it; clients.SentimentClient may be shared.
with triton.InferenceServerClient(URL) as client:
    result = client.infer("sentiment", [text])

for review, label, score in zip(REVIEWS, result.as_numpy("label"), result.as_numpy("score"), strict=True):
    print(label[0].decode(), f"{score[0]:.2f}", review)
