"""POST /v1/explain: which words or sentences carried the decision."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from clients import ModelNotFound, Sentiment
from gateway.bodies import read_json
from gateway.callers import CurrentCaller
from gateway.labels import Description
from gateway.occlusion import Span, Unit, log_odds, most_units, split
from gateway.problem import Problem
from gateway.problems import from_client
from gateway.routes.classify import ask
from gateway.schemas import EXAMPLE, checked, openapi_body, problems
from gateway.services import CurrentServices

router = APIRouter()
FAST = "sentiment_fast"


class ExplainRequest(BaseModel):
    """within: only units inside these characters are left out, such as the words of one sentence."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(examples=[EXAMPLE])]
    unit: Literal["auto", "word", "sentence"] = "auto"
    within: Annotated[
        tuple[int, int] | None, Field(description="Start and end (exclusive), in Unicode code points.")
    ] = None
    model: Annotated[str | None, Field(description="`sentiment_fast` where it is served.")] = None
    timeout: Annotated[float | None, Field(gt=0, le=3600)] = None

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if self.within and not 0 <= self.within[0] < self.within[1] <= len(self.text):
            raise ValueError(f"has a `within` that is no part of a text of {len(self.text)} characters")
        return self

    @property
    def span(self) -> Span:
        """The part to look at."""
        return Span(*self.within) if self.within else Span(0, len(self.text))


class UnitBody(BaseModel):
    """Characters `start` to `end` (exclusive), in Unicode code points."""

    start: int
    end: int
    text: str
    weight: Annotated[float, Field(description="By how much the label's log-odds fall without it.")]
    drop: Annotated[float, Field(description="By how much the label's probability falls without it.")]


class ExplainBody(BaseModel):
    """The answer to the whole text, and the weight of each unit, in the text's order."""

    model: str
    label: str
    score: float
    probabilities: dict[str, float]
    num_tokens: int
    truncated: bool
    unit: Unit
    units: list[UnitBody]
    evaluations: Annotated[int, Field(description="Texts that the model read for this.")]


@router.post(
    "/v1/explain",
    responses=problems(400, 401, 404, 413, 415, 422, 429, 503, 504),
    openapi_extra=openapi_body(ExplainRequest),
    tags=["explain"],
)
async def explain(request: Request, caller: CurrentCaller, services: CurrentServices) -> ExplainBody:
    """Which words, or in a longer text sentences, carried the decision.

    The text is classified once whole and once without each unit. `weight` is how much the log-odds of its
    label fall without the unit: above 0 the unit speaks for the label, below 0 against it. At most 63 units,
    and about 32,768 tokens in all, are asked for; where there are more, neighbours are joined.
    """
    asked = checked(ExplainRequest, await read_json(request))
    fast = FAST if FAST in services.models.names else services.models.default
    model = services.models.get(asked.model or fast)
    try:
        [whole] = await ask(request, services, caller, model, [asked.text], asked.timeout)
    except ModelNotFound:
        if asked.model:
            raise
        model = services.models.get(services.models.default)  # a server without the fast one
        [whole] = await ask(request, services, caller, model, [asked.text], asked.timeout)
    if isinstance(whole, Exception):
        raise from_client(whole, services.backlog.seconds)
    if not whole.probabilities:
        raise Problem(422, "This model gives no probabilities, so there is nothing to explain by.")
    description = await model.description()
    unit, spans = split(asked.text, asked.unit, most_units(whole.num_tokens), asked.span)
    found = []
    if spans:
        variants = [span.cut_from(asked.text) for span in spans]
        found = await ask(request, services, caller, model, variants, asked.timeout)
    units = [
        _weighed(asked.text, span, whole, without, description)
        for span, without in zip(spans, found, strict=True)
        if isinstance(without, Sentiment)
    ]
    return ExplainBody(
        model=model.name,
        label=whole.label,
        score=whole.score,
        probabilities=description.named(whole.probabilities),
        num_tokens=whole.num_tokens,
        truncated=whole.truncated,
        unit=unit,
        units=units,
        evaluations=1 + len(found),
    )


def _weighed(
    text: str, span: Span, whole: Sentiment, without: Sentiment, description: Description
) -> UnitBody:
    before, after = description.named(whole.probabilities), description.named(without.probabilities)
    label, several = max(before, key=lambda name: before[name]), whole.labels is not None
    return UnitBody(
        start=span.start,
        end=span.end,
        text=text[span.start : span.end],
        weight=log_odds(label, before, several) - log_odds(label, after, several),
        drop=before[label] - after[label],
    )
