"""Scores whole tables: parquet, CSV and JSON lines, from files to folders on S3, on one machine or many.

    python -m bulk score reviews.parquet --output scored --text-column review

Or from Python, a list of texts at a time:

    from bulk import Scorer, find_model

    scores = Scorer(find_model("model_repository", "sentiment_fast"))(["Great film", None])
    scores.label, scores.error   # ["positive", None], [None, "the text is null"]

Files become units of thousands of rows (`formats`). An engine scores them (`engines`). The part of a unit
appears whole or not at all (`run.Part`). A part that is there is done, so a run goes on where it was stopped.
Open `command.py` first: it has the steps.
"""

from bulk.errors import BulkError
from bulk.model import Model, find_model
from bulk.scorer import Scorer
from bulk.scores import Scores

__all__ = ["BulkError", "Model", "Scorer", "Scores", "find_model"]
