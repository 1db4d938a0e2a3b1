"""The client of this repository, from ordinary code. Usage, from the repository's root:

python -m clients.examples.with_sentiment_client [127.0.0.1:8000]
"""

import sys

from clients import SentimentClient

URL = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
REVIEWS = ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]

with SentimentClient(URL) as client:
    for review, found in zip(REVIEWS, client.classify(REVIEWS), strict=True):
        print(found.label, f"{found.score:.2f}", review)
