"""Plain HTTP with requests (`pip install requests`). Usage: python with_requests.py [http://127.0.0.1:8000]"""

import sys

import requests

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
REVIEWS = ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]

with requests.Session() as session:  # keeps the connection open between requests
    for review in REVIEWS:
        answer = session.post(f"{URL}/v2/models/sentiment/generate", json={"text": review}, timeout=60)
        answer.raise_for_status()
        found = answer.json()
        print(found["label"], f"{found['score']:.2f}", review)
