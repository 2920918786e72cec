"""``/hosts/new`` and ``/hosts/{name}``: publishing a host, changing it and taking it away."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import falcon

from argos.api.access import Needs
from argos.application import Application
from argos.edge.decode import decode_document
from argos.edge.model import Host
from argos.edge.plan import State, Stored
from argos.edge.waf_events import recent
from argos.edge.waf_exclude import exclusion_spec
from argos.errors import ArgosError, Conflict, NotFound, Unavailable
from argos.panel import forms, host_form, pages
from argos.panel.access import Door
from argos.panel.errors import status_of
from argos.panel.history import shown_change
from argos.panel.hosts import host_view
from argos.panel.problems import Problems
from argos.panel.site import hostname
from argos.panel.waf import event_view

_EVENTS = 5
_WORDS = {
    "same": "Nothing to change.",
    "published": "Published. Argos obtains its certificate automatically, which may take a minute.",
    "saved": "Saved and in force.",
}


class NewHost:
    """``/hosts/new``; with the first host the edge's own two names are asked for, if nobody declared them."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form with what suits most."""
        self._show(req, resp, host_form.blank(hostname(Door.of(req).host) or ""))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Publish it, or show what that would change."""
        form = forms.read(req)
        typed = host_form.posted(form)
        state = self._application.state()
        try:
            if ("host", typed["name"].strip().lower()) in state.resources:
                raise Conflict(f"{typed['name'].strip().lower()[:260]} is already published: change it on its own page")
            document = decode_document(host_form.document_of(typed, None, host_form.OWNER, state.edge))
            if form.get("do") == "plan":
                changes = self._application.engine.plan(document).changes
                self._show(req, resp, typed, changes=[shown_change(change) for change in changes])
                return
            self._application.engine.apply(Door.of(req).visit.actor, document, form.get("etag") or None)
        except ArgosError as error:
            self._show(req, resp, typed, problems=_problems(self._application, error), status=status_of(resp, error))
            return
        resp.status = falcon.HTTP_303
        resp.location = f"/hosts/{quote(document.hosts[0].name, safe='')}?done=published"

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        form: dict[str, str],
        *,
        changes: list[dict[str, Any]] | None = None,
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        state = self._application.state()
        pages.render(
            resp,
            "host_new.html",
            status=status,
            person=Door.of(req).visit.person,
            here="/hosts/new",
            form=form,
            policies=[(name, f"policy {name}") for name in state.waf_policies()],
            first=state.edge is None,
            parent_domain=state.edge.parent_domain if state.edge else "",
            changes=changes,
            etag=state.etag(),
            problems=problems or Problems(),
        )


class HostPage:
    """``/hosts/{name}``: how it is protected, what the WAF found on it, and the form that changes it."""

    needs = Needs.ADMIN

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Show it; 404 when it is not declared."""
        state = self._application.state()
        held = _held(state, name)
        done = _WORDS.get(req.get_param("done") or "", "")
        self._show(req, resp, state, held, host_form.form_of(held.value), done=done)

    def on_post(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """Do what the form's ``do`` says: save, plan (only show), remove, include (drop an exclusion)."""
        form = forms.read(req)
        typed = host_form.posted(form)
        state = self._application.state()
        held = _held(state, name)
        do = form.get("do", "")
        if do not in {"save", "plan", "remove", "include"}:
            raise falcon.HTTPBadRequest(
                title=forms.UNREADABLE, description="The form does not say what to do. Reload the page."
            )
        if do in {"remove", "include"}:
            typed = host_form.form_of(held.value)
        try:
            document = decode_document(_wanted(do, form, typed, held, state))
            if do == "plan":
                changes = [shown_change(change) for change in self._application.engine.plan(document).changes]
                self._show(req, resp, state, held, typed, changes=changes)
                return
            outcome = self._application.engine.apply(Door.of(req).visit.actor, document, form.get("etag") or None)
        except ArgosError as error:
            problems, status = _problems(self._application, error), status_of(resp, error)
            fresh = self._application.state()
            self._show(req, resp, fresh, held, typed, problems=problems, status=status)
            return
        resp.status = falcon.HTTP_303
        if do == "remove":
            resp.location = f"/hosts?removed={quote(name, safe='')}"
        else:
            resp.location = f"/hosts/{quote(name, safe='')}?done={'saved' if outcome.changed else 'same'}"

    def _show(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        state: State,
        held: Stored,
        form: dict[str, str],
        *,
        changes: list[dict[str, Any]] | None = None,
        done: str = "",
        problems: Problems | None = None,
        status: str = falcon.HTTP_200,
    ) -> None:
        host: Host = held.value
        more = host_form.beyond(host)
        pages.render(
            resp,
            "host.html",
            status=status,
            person=Door.of(req).visit.person,
            here=f"/hosts/{host.name}",
            host=host_view(host, state, state.waf_policies()),
            form=form,
            owner="" if held.owner == host_form.OWNER else held.owner,
            policies=[(name, f"policy {name}") for name in state.waf_policies()],
            exclusions=[_exclusion_words(exclusion_spec(one)) for one in host.waf.exclusions],
            more=json.dumps(more, indent=2, ensure_ascii=False) if more else "",
            events=self._events(host.name),
            changes=changes,
            etag=state.etag(),
            done=done,
            problems=problems or Problems(),
        )

    def _events(self, name: str) -> list[dict[str, Any]]:
        now = self._application.clock.now()
        try:
            return [event_view(event, now) for event in recent(self._application.settings.waf_log, name, _EVENTS)]
        except Unavailable:
            return []  # the events' own page says why


def _held(state: State, name: str) -> Stored:
    held = state.resources.get(("host", name))
    if held is None:
        raise NotFound(f"{name[:260]} is not published here")
    return held


def _wanted(do: str, form: dict[str, str], typed: dict[str, str], held: Stored, state: State) -> dict[str, Any]:
    if do == "remove":
        return host_form.removal(held.value, held.owner)
    if do == "include":
        text = form.get("exclusion", "")
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
        document = host_form.without_exclusion(held.value, held.owner, number)
        if document is None:
            raise Conflict("This exclusion no longer exists")
        return document
    return host_form.document_of(typed, held.value, held.owner, state.edge)


def _problems(application: Application, error: ArgosError) -> Problems:
    return Problems.of(error, host_form.PLACES, application.scrubber.scrub)


def _exclusion_words(spec: dict[str, Any]) -> str:
    """An exclusion as a sentence's end: "rule 942100 in ARGS:q, on /save, for POST"."""
    which = next(f"{word} {spec[name]}" for name, word in _RULES if name in spec)
    where = f" in {spec['parameter']}" if "parameter" in spec else ""
    path = f", on {spec['path']}" if "path" in spec else ""
    return which + where + path + (f", for {', '.join(spec['methods'])}" if "methods" in spec else "")


_RULES = (("id", "rule"), ("range", "rules"), ("tag", "rules tagged"))
