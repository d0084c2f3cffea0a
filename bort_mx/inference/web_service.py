"""A pipeline behind HTTP: the FastAPI application of `bort-mx serve`.

Every error is {"error": "one line"}, with a status of 4xx where the request is at fault.
"""

import asyncio
import contextlib
import dataclasses
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

import fastapi
import pydantic
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from typing_extensions import Annotated

from bort_mx.data.input_texts import Text, wrong_number_of_texts
from bort_mx.errors import InputError
from bort_mx.inference import fill_mask
from bort_mx.inference.body_limit import BodyLimit, Problem
from bort_mx.inference.text_pipelines import Classify, Embed, FillMask, TextPipeline, as_texts
from bort_mx.inference.waiting_texts import TooManyWaiting, WaitingTexts

MOST_TOKENS = 100
"""Tokens for a mask that may be asked for."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may hold, and how many texts may wait."""

    body_bytes: int = 1_000_000
    texts: int = 256
    characters: int = 20_000
    """Of one text; of a pair, both together."""
    waiting: int = 4096
    body_seconds: float = 30.0
    """Time for a body to arrive."""


class Error(pydantic.BaseModel):
    """An answer that says what is wrong."""

    error: str


_TEXT, _MASKED = {"type": "string"}, {"type": "string", "pattern": r"<mask>|\[MASK\]"}
_PAIR = {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}


def _schema(text: Dict[str, Any], *others: Dict[str, Any]) -> Any:
    """A text, or a list, for the description; `_checked` says better than pydantic what is wrong with it."""
    return pydantic.WithJsonSchema({"anyOf": [text, {"type": "array", "items": {"anyOf": [text, *others]}}]})


class Texts(pydantic.BaseModel):
    """Texts, or pairs as lists of two texts."""

    model_config = pydantic.ConfigDict(extra="forbid", json_schema_extra={"examples": [{"texts": ["A text.", "Two."]}]})
    texts: Annotated[Any, _schema(_TEXT, _PAIR)] = pydantic.Field(
        description="A text, or a list of texts and pairs of texts.")


class MaskedTexts(pydantic.BaseModel):
    """Texts with masks."""

    model_config = pydantic.ConfigDict(extra="forbid", json_schema_extra={"examples": [{"texts": ["A <mask> text."]}]})
    texts: Annotated[Any, _schema(_MASKED)] = pydantic.Field(description="Texts, each with <mask> or [MASK] in it.")
    top_k: int = pydantic.Field(5, ge=1, le=MOST_TOKENS, strict=True, description="Tokens for each mask.")


class Labels(pydantic.BaseModel):
    """What `bort_mx.pipeline` answers to texts, in their order."""

    answers: List[Dict[str, Any]] = pydantic.Field(
        description="label, score and scores; of a regression value and scores; of many labels, labels and scores.")


class Embeddings(pydantic.BaseModel):
    """One row for each text, in their order."""

    embeddings: List[List[float]]


class Fill(pydantic.BaseModel):
    """A token for a mask."""

    token: str
    score: float


class Fills(pydantic.BaseModel):
    """For each text, for each of its masks, the best tokens."""

    answers: List[List[List[Fill]]]


class Health(pydantic.BaseModel):
    """What is served."""

    status: str
    task: str
    model: str
    architecture: List[int]
    labels: Optional[List[str]]
    longest_tokens: int
    waiting: int


_PROBLEMS = {400: "The body is not JSON.", 408: "The body did not arrive in time.", 413: "The body is too large.",
             422: "The request is not as described, or exceeds a limit.",
             503: "Too many texts are waiting. Try again later."}
_RESPONSES: Dict[Union[int, str], Dict[str, Any]] = {code: {"model": Error, "description": text}
                                                     for code, text in _PROBLEMS.items()}


_NO_OBJECT = 'send the header Content-Type: application/json and a body such as {"texts": ["A text."]}'


def application(pipeline: TextPipeline, name: str, limits: Limits = Limits(), wait: float = 0.0) -> fastapi.FastAPI:
    """The application for one model.

    Args:
        pipeline: what answers.
        name: of the model, for /health.
        limits: of requests.
        wait: seconds that a text waits for company; see `WaitingTexts`.
    """
    queue = WaitingTexts(_batch_of(pipeline), pipeline.batch_size, wait, limits.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI):
        """Requests are answered before the end."""
        yield
        await asyncio.get_running_loop().run_in_executor(None, queue.close)

    app = fastapi.FastAPI(title="bort_mx", description=_described(pipeline, limits), lifespan=lifespan)
    app.add_middleware(BodyLimit, most=limits.body_bytes, seconds=limits.body_seconds)
    _add_errors(app, pipeline.task)
    _add_task(app, pipeline, queue, limits)

    @app.get("/health", response_model=Health, summary="What is served, and whether it is up")
    async def health() -> Any:
        """The model, its limits, and how many texts wait for it."""
        config = pipeline.config
        return {"status": "ok", "task": pipeline.task, "model": name, "architecture": config.architecture.as_tuple(),
                "labels": getattr(pipeline, "labels", None), "longest_tokens": config.longest, "waiting": len(queue)}

    return app


def _described(pipeline: TextPipeline, limits: Limits) -> str:
    return (f"Limits of a request: {limits.body_bytes:,} bytes, {limits.texts:,} texts, {limits.characters:,} "
            f"characters in a text. A text is cut to {pipeline.config.longest} tokens"
            + (", except that masks are filled in whole texts only." if pipeline.task == "fill-mask" else "."))


# -- the model's side ----------------------------------------------------------------------------------------------


def _batch_of(pipeline: TextPipeline) -> Callable[[List[Any]], List[Any]]:
    """What a batch of queued items is run by. An item is a text or pair; of fill-mask, with its number of tokens."""
    if isinstance(pipeline, Embed):
        return lambda texts: [row.tolist() for row in pipeline.stream(texts)]
    if isinstance(pipeline, FillMask):
        def fill(items: List[Tuple[Text, int]]) -> List[Any]:
            """The largest number of tokens for all, then each its own."""
            answers = pipeline.stream([text for text, _ in items], max(top_k for _, top_k in items))
            return [[mask[:top_k] for mask in masks] for masks, (_, top_k) in zip(answers, items)]
        return fill
    assert isinstance(pipeline, Classify)
    return lambda texts: list(pipeline.stream(texts))


# -- the request's side --------------------------------------------------------------------------------------------


def _add_task(app: fastapi.FastAPI, pipeline: TextPipeline, queue: WaitingTexts, limits: Limits) -> None:
    """The one path that this model answers."""
    if pipeline.task == "fill-mask":
        @app.post("/fill-mask", response_model=Fills, responses=_RESPONSES, summary="Fill the masks of texts")
        async def fill_masks(request: MaskedTexts) -> Any:
            texts = _checked(request.texts, pipeline, limits)
            return JSONResponse({"answers": await _answers(queue, [(text, request.top_k) for text in texts], texts)})
    elif pipeline.task == "embed":
        @app.post("/embed", response_model=Embeddings, responses=_RESPONSES, summary="Embed texts or pairs")
        async def embed(request: Texts) -> Any:
            texts = _checked(request.texts, pipeline, limits)
            return JSONResponse({"embeddings": await _answers(queue, texts, texts)})
    else:
        @app.post("/classify", response_model=Labels, responses=_RESPONSES, summary="Classify texts or pairs")
        async def classify(request: Texts) -> Any:
            texts = _checked(request.texts, pipeline, limits)
            return JSONResponse({"answers": await _answers(queue, texts, texts)})


async def _answers(queue: WaitingTexts, items: List[Any], texts: List[Text]) -> List[Any]:
    lengths = [len(first) + len(second or "") for first, second in texts]
    return await asyncio.wrap_future(queue.submit(items, lengths))


def _checked(given: Any, pipeline: TextPipeline, limits: Limits) -> List[Text]:
    """The texts of a request.

    Raises:
        Problem: too many, too long, or not of the kind that the model takes.
    """
    given = [given] if isinstance(given, str) else given
    if not isinstance(given, list):
        raise Problem(422, "texts: must be a text, or a list of texts and pairs")
    if len(given) > limits.texts:
        raise Problem(422, f"texts: {len(given)} of them; a request may hold {limits.texts}")
    for number, text in enumerate(given, 1):
        if isinstance(text, list) and len(text) != 2:
            raise Problem(422, f"text {number}: a list of {len(text)}; a pair is a list of two texts")
    try:
        texts, _ = as_texts([tuple(text) if isinstance(text, list) else text for text in given])
        for number, text in enumerate(texts, 1):
            length = len(text[0]) + len(text[1] or "")
            if length > limits.characters:
                raise Problem(422, f"text {number}: {length} characters; a text may have {limits.characters}")
            problem = wrong_number_of_texts(text, pipeline.config.text_columns) if pipeline.task == "classify" else ""
            if problem:
                raise Problem(422, f"text {number}: {problem}")
            if pipeline.task == "fill-mask" and text[1] is not None:
                raise Problem(422, f"text {number}: a pair; masks are filled in single texts")
            if pipeline.task == "fill-mask":
                fill_mask.encode(pipeline.tokenizer, text[0], pipeline.config.longest, f"text {number}: ")
    except InputError as error:
        raise Problem(422, str(error)) from None
    return texts


def _add_errors(app: fastapi.FastAPI, task: str) -> None:
    """One form for every error."""
    @app.exception_handler(Problem)
    async def problem(request: fastapi.Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(TooManyWaiting)
    async def too_many(request: fastapi.Request, error: TooManyWaiting) -> JSONResponse:
        return JSONResponse({"error": f"{error}; try again later"}, 503, {"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    async def invalid(request: fastapi.Request, error: RequestValidationError) -> JSONResponse:
        """The first thing that is wrong; a body that is no JSON is 400."""
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return JSONResponse({"error": f"the body is not JSON: {first['ctx']['error']}"}, 400)
        if tuple(first["loc"]) == ("body",):  # no object, or one that the header does not call JSON
            return JSONResponse({"error": _NO_OBJECT}, 422)
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"error": f"{place or 'body'}: {first['msg']}".encode("ascii", "replace").decode()}, 422)

    @app.exception_handler(HTTPException)
    async def other(request: fastapi.Request, error: HTTPException) -> JSONResponse:
        """The framework's own errors: another path or method, a body that is not UTF-8."""
        said = error.detail
        if error.status_code == 400:
            said = "the body is not JSON in UTF-8"
        if error.status_code == 404:
            said = f"no such path; this model answers POST /{task} and GET /health, /docs and /openapi.json"
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: fastapi.Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the model failed on this request; the server's log says why"}, 500)
