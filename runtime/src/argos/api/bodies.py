"""JSON in and out of the API."""

from __future__ import annotations

from typing import Any, TypeVar

import falcon
import msgspec

from argos.errors import FieldError, Invalid

Body = TypeVar("Body", bound=msgspec.Struct)


def read(req: falcon.Request, shape: type[Body], resource: str) -> Body:
    """Decode the request's body as ``shape``, refusing unknown fields if the struct does.

    Raises:
        Invalid: not JSON, or not of that shape; ``resource`` is named in it.
    """
    raw = read_raw(req)
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as error:
        problem, _unused, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".") or "body"
        raise Invalid([FieldError(resource, field, problem, "see the admin API's reference")]) from None
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
        raise Invalid([FieldError(resource, "body", f"not JSON: {error}", "a JSON object")]) from None


def read_raw(req: falcon.Request) -> bytes:
    """The body as bytes; the listener has bounded it already."""
    body: bytes = req.bounded_stream.read()
    return body


def write(resp: falcon.Response, answer: Any, *, status: str = falcon.HTTP_200) -> None:
    """Answer with JSON."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = msgspec.json.encode(answer)


def encode(answer: Any) -> str:
    """The same JSON, indented for people."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()
