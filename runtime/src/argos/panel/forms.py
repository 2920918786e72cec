"""Reading of forms and of the parameters in a URL."""

from __future__ import annotations

from urllib.parse import parse_qs

import falcon

UNREADABLE = "This form could not be read"
_FIELDS = 30
_RETURN_URL_LIMIT = 8192 + 1024


def read(req: falcon.Request) -> dict[str, str]:
    """The fields of a posted form, each once.

    Raises:
        falcon.HTTPError: 415 not a form, 400 not UTF-8, too many fields, or one twice.
    """
    content_type = (req.content_type or "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise falcon.HTTPUnsupportedMediaType(description="Reload the page, then send the form again.")
    try:
        text = req.bounded_stream.read().decode("ascii")
        fields = parse_qs(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=_FIELDS)
    except ValueError:
        raise falcon.HTTPBadRequest(
            title=UNREADABLE, description="It is not UTF-8, or has too many fields. Reload the page."
        ) from None
    for name, values in fields.items():
        if len(values) != 1:
            raise falcon.HTTPBadRequest(
                title=UNREADABLE, description=f"The field {name[:40]!r} was sent twice. Reload the page."
            )
    return {name: values[0] for name, values in fields.items()}


def return_url(req: falcon.Request) -> str:
    """The raw ``rd`` of the query; empty when absent. What it may be is decided by argos.return_url alone.

    It is taken from the raw query and decoded once, so that a ``&`` or ``%2F`` in
    it survives the way here.
    """
    if len(req.query_string) > _RETURN_URL_LIMIT * 3:
        return ""
    found = parse_qs(req.query_string, keep_blank_values=True, errors="replace").get("rd", [])
    return found[0] if len(found) == 1 else ""
