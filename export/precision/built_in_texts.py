"""Texts to take when a checkpoint ships none, to measure how large its activations get."""

from export.checkpoint.reading import Checkpoint
from export.graph.running import load_tokenizer

TEXTS = (
    "",
    "Wonderful!",
    "not good",
    "I laughed, I cried, and then I watched it again with my mother, who did the same.",
    "Two hours of my life that I will never get back. The plot has holes that a bus could drive through.",
    "The photography is gorgeous and the score soars, but nobody told the writers how people talk.",
    "A solid 7/10: no surprises, decent acting, a villain who chews the scenery (and enjoys it).",
    "<br /><br />It isn't the worst film of 1987. It is merely the second worst. See http://example.org/list",
    "Der Film war großartig, la fin est un peu décevante, und 最後 came too soon 😀😀😀 !!!",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA zzzzzzzzzzzzzzzzzzzzzzzz 0123456789 @#$%^&*()_+{}|:<>?",
    "The delivery was late, the box was wet and the cable did not fit; support answered within the hour.",
    "Our quarterly results improved by 4.2% year on year, in line with the guidance that we gave in March.",
)


def tokenized_texts(checkpoint: Checkpoint) -> list[tuple[int, ...]]:
    """Ids of TEXTS one by one, and of all of them as one long text that fills every position."""
    tokenizer = load_tokenizer(checkpoint)
    long = " ".join(TEXTS * 10)
    return [tuple(tokenizer.encode(text).ids) for text in (*TEXTS, long)]
