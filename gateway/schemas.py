"""What requests and answers look like; OpenAPI is made of these."""

from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from gateway.places import describe_errors
from gateway.problem import Problem
from gateway.problems import MEDIA_TYPE
from gateway.settings import Settings

T = TypeVar("T", bound=BaseModel)
EXAMPLE = "A warm, funny and clever film."


class ClassifyRequest(BaseModel):
    """One of `text` and `texts`."""

    model_config = ConfigDict(extra="forbid", title="ClassifyRequest")

    text: Annotated[str | None, Field(examples=[EXAMPLE])] = None
    texts: Annotated[list[str] | None, Field(examples=[[EXAMPLE, "Dull, and far too long."]])] = None
    model: Annotated[str | None, Field(description="`sentiment` (the default) or `sentiment_fast`.")] = None
    top_k: Annotated[
        int | None,
        Field(ge=1, le=10_000, description="How many probabilities, the largest first; default all."),
    ] = None
    timeout: Annotated[
        float | None, Field(gt=0, le=3600, description="Seconds to wait; more than the service's own is cut.")
    ] = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError('must have one of the fields "text" (a string) and "texts" (a list of strings)')
        return self

    @property
    def all_texts(self) -> list[str]:
        """`text` or `texts` as a list."""
        return [self.text] if self.text is not None else list(self.texts or ())

    @classmethod
    def of(cls, data: Any, settings: Settings) -> Self:
        """Reads a decoded body, a bare string or list included. Raises Problem 413 or 422."""
        if isinstance(data, str):
            data = {"text": data}
        elif isinstance(data, list):
            data = {"texts": data}
        request = checked(cls, data)
        if len(request.all_texts) > settings.max_texts:
            raise Problem(
                413,
                f"{len(request.all_texts)} texts are more than the {settings.max_texts} of one request; "
                "send several, or a background task (POST /v1/tasks).",
            )
        return request


class ClassifyBody(RootModel[ClassifyRequest | str | list[str]]):
    """An object, or for short a string or a list of strings."""


class Answer(BaseModel):
    """What the model says of one text, or why it was refused."""

    index: Annotated[int, Field(description="The text's place in the request, from 0.")]
    label: Annotated[str | None, Field(description="The most probable label.")] = None
    score: Annotated[float | None, Field(description="Its probability.")] = None
    probabilities: Annotated[dict[str, float] | None, Field(description="By label, the largest first.")] = (
        None
    )
    labels: Annotated[
        list[str] | None, Field(description="Of a multi-label model: those above its threshold.")
    ] = None
    values: Annotated[dict[str, float] | None, Field(description="Of a regression: by target.")] = None
    num_tokens: Annotated[int | None, Field(description="Tokens read, [CLS] and [SEP] included.")] = None
    truncated: Annotated[bool | None, Field(description="Whether the text's end was cut off.")] = None
    num_windows: Annotated[int | None, Field(description="Pieces in which a long text was read.")] = None
    error: Annotated[str | None, Field(description="Why this text of many was refused.")] = None


class ProblemBody(BaseModel):
    """RFC 9457; further members depend on the kind."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str


def checked(model: type[T], data: Any) -> T:
    """`data` as `model`. Raises Problem 422 with each wrong place."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        detail, errors = describe_errors(error.errors(include_url=False))
        raise Problem(422, detail, errors=errors) from None


def openapi_body(model: type[BaseModel]) -> dict[str, Any]:
    """The documentation of a body that the address reads itself."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    for choice in schema.get("anyOf", []):
        if reference := choice.pop("$ref", ""):
            choice.update(parts[reference.rpartition("/")[2]])
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of problem answers."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": "A problem (RFC 9457).", "content": content} for status in statuses}
