"""Choosing an own password: forced at the first sign-in, free later."""

from __future__ import annotations

import falcon

from argos.accounts.errors import BadCredentials, Busy, TooManyFailedLogins
from argos.api.access import Needs
from argos.application import Application
from argos.errors import Conflict, Invalid, NotFound
from argos.panel import cookies, forms, pages
from argos.panel.access import Door
from argos.panel.sign_in import USER_AGENT_LIMIT, go_on, safe_target, show_form, wait_text, write_cookies


class Password:
    """``/password``."""

    needs = Needs.PASSWORD_CHANGE

    def __init__(self, application: Application) -> None:
        self._application = application

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show the form."""
        door = Door.of(req)
        _show(resp, door, safe_target(door, forms.return_url(req)))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Change it, end every other sign-in of the account, and give this one new tokens.

        Where the account was changed meanwhile by somebody else, nothing is, and the person signs in anew.
        """
        door = Door.of(req)
        form = forms.read(req)
        target = safe_target(door, form.get("rd", ""))
        current, new = form.get("current", ""), form.get("new", "")
        if new != form.get("again", ""):
            _show(resp, door, target, "The two passwords do not match.", falcon.HTTP_400)
            return
        try:
            self._change(req, resp, door, current, new)
        except BadCredentials:
            _show(resp, door, target, "The current password is wrong.", falcon.HTTP_401)
        except TooManyFailedLogins as error:
            wait = max(1, error.resets_at - self._application.clock.now())
            resp.set_header("Retry-After", str(wait))
            _show(resp, door, target, f"Too many failed attempts. {wait_text(wait)}", falcon.HTTP_429)
        except Busy as error:
            resp.set_header("Retry-After", str(error.retry_after))
            _show(resp, door, target, "Too busy at the moment. Try again soon.", falcon.HTTP_503)
        except (Conflict, NotFound):
            cookies.delete_session(resp, door.site.cookie_names, door.site.cookie_domain(door.host))
            problem = "The account was changed just now, so the password was left as it is. Sign in again."
            show_form(resp, door, target, problem=problem, status=falcon.HTTP_401)
        except Invalid as error:
            problem = "; ".join(f"{one.problem}, {one.expected} needed" for one in error.errors)
            _show(resp, door, target, f"The new password {problem}.", falcon.HTTP_400)
        else:
            go_on(resp, target, full=True)

    def _change(self, req: falcon.Request, resp: falcon.Response, door: Door, current: str, new: str) -> None:
        visit = door.visit
        if visit.person is None:
            raise falcon.HTTPForbidden
        session, names = visit.person.session, door.site.cookie_names
        device = cookies.first(req, names.device)
        changed = self._application.accounts.change_password(visit.actor, session, current, new, device_token=device)
        agent = (req.user_agent or "")[:USER_AGENT_LIMIT]
        issued = self._application.sessions.begin(
            visit.actor,
            session.user_id,
            visit.address,
            agent,
            second_factor=session.second_factor,
            credential=changed.credential,
        )
        write_cookies(resp, door, issued)


def _show(resp: falcon.Response, door: Door, target: str, problem: str = "", status: str = falcon.HTTP_200) -> None:
    person = door.visit.person
    pages.render(
        resp,
        "password.html",
        status=status,
        person=person,
        forced=person is not None and not person.full,
        rd=target,
        problem=problem,
    )
