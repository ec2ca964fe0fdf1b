"""The routes: `/predict`, `/healthz`, `/metrics`. Every answer but the metrics is JSON, errors too."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as RoutingException
from starlette.requests import ClientDisconnect

from edgebert import __version__
from edgebert.errors import DataError
from edgebert.model import Model

from . import Limits
from .admission import Admission, Full
from .metrics import Metrics


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A request that cannot be answered: HTTP status, what is wrong, how to mend it."""

    def __init__(self, status: int, message: str, hint: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status, self.message, self.hint, self.headers = status, message, hint, headers or {}


def make_app(model: Model, limits: Limits) -> FastAPI:
    """The application around a loaded model, which stays the caller's to close."""
    manifest = model.artifact.manifest
    metrics = Metrics(manifest.name, model.artifact.artifact_id, model.runtime.engine, limits.queue)
    admission = Admission(limits, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        admission.close()

    app = FastAPI(title="edgebert", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)

    async def predict(request: Request) -> Response:
        start = time.perf_counter()
        try:
            response = await _predict(request, model, admission)
        except Refused as error:
            response = _refusal(error)
        metrics.requests.labels(str(response.status_code)).inc()
        metrics.request_seconds.observe(time.perf_counter() - start)
        return response

    async def healthz() -> Response:
        return _json(
            {
                "status": "ok",
                "artifact": manifest.name,
                "artifact_id": model.artifact.artifact_id,
                "task": manifest.task,
                "engine": model.runtime.engine,
                "edgebert": __version__,
            }
        )

    async def show_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def refuse(_: Request, error: Exception) -> Response:
        found = error if isinstance(error, HTTPException | RoutingException) else RoutingException(500)
        hint = "there are POST /predict, GET /healthz and GET /metrics"
        return _refusal(Refused(found.status_code, str(found.detail), hint, dict(found.headers or {})))

    async def bug(_: Request, error: Exception) -> Response:
        metrics.requests.labels("500").inc()
        return _refusal(Refused(500, f"a bug in edgebert {__version__}: {type(error).__name__}", "please report it"))

    app.add_api_route("/predict", predict, methods=["POST"], openapi_extra=_described(model.task.roles))
    app.add_api_route("/healthz", healthz, methods=["GET"])
    app.add_api_route("/metrics", show_metrics, methods=["GET"])
    app.add_exception_handler(RoutingException, refuse)
    app.add_exception_handler(Exception, bug)
    return app


async def _predict(request: Request, model: Model, admission: Admission) -> Response:
    """One request to `/predict`. Raises Refused."""
    try:
        with admission.request():
            body = await _body(request, admission.limits)
            asked = _parse(body)
            several = isinstance(asked, list)
            questions = [_question(item, model.task.roles) for item in (asked if several else [asked])]
            if len(questions) > admission.limits.queue:
                raise Refused(
                    413, f"{len(questions)} texts in one request", f"send at most {admission.limits.queue} at a time"
                )
            answers = await admission.answer(questions, model.predict) if questions else []
    except Full as full:
        told = {"Retry-After": str(full.seconds)}
        raise Refused(429, "too many texts at once", f"come back in {full.seconds} s", told) from full
    except DataError as error:
        raise Refused(422, error.message, error.hint) from error
    found = [answer.to_json() for answer in answers]
    return _json(found if several else found[0])


async def _body(request: Request, limits: Limits) -> bytes:
    """The body, read only as far as the limit allows."""
    too_large = Refused(413, f"the body has more than {limits.max_body:,} bytes", "send fewer or shorter texts")
    try:
        if int(request.headers.get("content-length", "0")) > limits.max_body:
            raise too_large
        body = bytearray()
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limits.max_body:
                    raise too_large
    except TimeoutError as error:
        raise Refused(408, f"the body took longer than {limits.body_seconds:g} s", "send it at once") from error
    except ClientDisconnect as error:  # nobody reads this answer; it is counted
        raise Refused(400, "the client left in the middle of its request", "send all of it") from error
    except ValueError as error:
        raise Refused(400, "content-length is no number", "leave it to your HTTP client") from error
    return bytes(body)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}", 'such as {"text": "wake me at seven"}') from error


def _question(given: Any, roles: tuple[str, ...]) -> Any:
    """What `Model.predict` takes: a text, or a mapping from role to text."""
    if isinstance(given, dict):
        unknown = [key for key in given if key not in roles]
        if unknown:
            raise Refused(422, f"the key {unknown[0]!r} is not known", f"give {' and '.join(roles)}")
        return given
    if isinstance(given, str) and len(roles) == 1:
        return given
    wanted = ", ".join(f'"{role}": …' for role in roles)
    raise Refused(
        422, f"a {type(given).__name__} is no question to this model", f"give {{{wanted}}}, or a list of them"
    )


def _refusal(error: Refused) -> Response:
    found = {"error": {"message": error.message, "hint": error.hint}}
    return _json(found, error.status, {k: v for k, v in error.headers.items() if k.lower() != "content-type"})


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # A lone surrogate of a request may be quoted in an answer: it stays the JSON escape that it was.
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(body, status, headers, media_type="application/json")


def _described(roles: tuple[str, ...]) -> dict[str, Any]:
    """The request of `/predict` for `/openapi.json`."""
    one: dict[str, Any] = {
        "type": "object",
        "properties": {role: {"type": "string"} for role in roles},
        "required": list(roles),
        "additionalProperties": False,
    }
    shapes = [one, {"type": "string"}] if len(roles) == 1 else [one]
    schema = {"oneOf": [*shapes, {"type": "array", "items": {"oneOf": shapes}}]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
