"""Many requests at once from asyncio. Usage, from the repository's root:

python -m clients.examples.with_asyncio [127.0.0.1:8000]
"""

import asyncio
import sys

from clients import AsyncSentimentClient

URL = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"
REVIEWS = ["A delight from the first minute to the last.", "Dull, badly acted and far too long."]


async def main() -> None:
    async with AsyncSentimentClient(URL) as client:
        for review, found in zip(REVIEWS, await client.classify(REVIEWS), strict=True):
            print(found.label, f"{found.score:.2f}", review)


asyncio.run(main())
