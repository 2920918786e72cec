"""``/welcome?token=``: a one-time link, by which a person sets a password without knowing another."""

from __future__ import annotations

import falcon

from argos.accounts.errors import Busy
from argos.accounts.model import User
from argos.api.access import Needs
from argos.application import Application
from argos.errors import Invalid, NotFound
from argos.panel import forms, pages
from argos.panel.access import Door
from argos.panel.sign_in import SET_BY_LINK


class Welcome:
    """Looking sets nothing, so that a preview of the link in a mail program does not use it up."""

    needs = Needs.NOBODY

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form, or say that the link is worth nothing."""
        token = req.params.get("token", "")
        if isinstance(token, list):
            token = ""
        user = self._application.links.find(token)
        if user is None:
            _show_gone(resp)
            return
        _show(resp, token, user)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Set the password and lead to the sign-in."""
        form = forms.read(req)
        token, new = form.get("token", ""), form.get("new", "")
        user = self._application.links.find(token)
        if user is None:
            _show_gone(resp)
            return
        if new != form.get("again", ""):
            _show(resp, token, user, "The two passwords do not match.", falcon.HTTP_400)
            return
        try:
            self._application.links.use(token, new, Door.of(req).visit.address)
        except NotFound:
            _show_gone(resp)
        except Invalid as error:
            problem = "; ".join(f"{one.problem}, {one.expected} needed" for one in error.errors)
            _show(resp, token, user, f"The password {problem}.", falcon.HTTP_400)
        except Busy as error:
            resp.set_header("Retry-After", str(error.retry_after))
            _show(resp, token, user, "Too busy at the moment. Try again soon.", falcon.HTTP_503)
        else:
            resp.status = falcon.HTTP_303
            resp.location = f"/login?{SET_BY_LINK}"


def _show(resp: falcon.Response, token: str, user: User, problem: str = "", status: str = falcon.HTTP_200) -> None:
    label = user.name or user.username
    pages.render(resp, "welcome.html", status=status, token=token, username=user.username, label=label, problem=problem)


def _show_gone(resp: falcon.Response) -> None:
    pages.render(
        resp,
        "message.html",
        status=falcon.HTTP_404,
        heading="This link no longer works",
        message="It has already been used or replaced, or is more than 24 hours old. "
        "Ask an administrator for a new one.",
        sign_out=False,
    )
