"""Accounts: who there is, who they are by their password, and their passwords.

What else an account is, :mod:`argos.accounts.people` changes. Every change writes its audit row in
its own transaction (DAT-3). What takes rights away ends the person's sessions in that transaction
too, and advances the epoch after the commit and before it returns (LOG-5).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert as upsert

from argos.accounts import devices
from argos.accounts.errors import SetupCompleted
from argos.accounts.model import Role, User
from argos.accounts.passwords import password_problems
from argos.accounts.records import Records, check_new, row_of, user_of
from argos.accounts.sign_in import SignIn
from argos.audit import Actor
from argos.errors import Conflict, FieldError, Invalid, NotFound
from argos.sessions.model import Session
from argos.sessions.tokens import credential_mark
from argos.storage.tables import meta, users

SETUP_COMPLETED = "setup_completed_at"


class Accounts:
    """Makes accounts, authenticates people, and sets their passwords."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._storage = records.storage
        self._passwords = records.passwords
        self._sign_in = SignIn(records.storage, records.passwords, records.throttle)

    def authenticate(self, username: str, password: str, address: str, device_token: str | None = None) -> User:
        """Check a username and a password.

        Unknown user, wrong password, disabled account and one without a password
        take the same path and the same time (LOG-2); all count for the throttle (LOG-1).

        Args:
            username: as typed.
            password: as typed.
            address: the client's, from :mod:`argos.client_address`.
            device_token: the cookie of :meth:`remember_device`, if the browser sent one.

        Raises:
            BadCredentials: they are wrong.
            TooManyFailedLogins: the address or the account is banned; the password was not looked at.
            Busy: too many sign-ins at once; nothing was counted.
        """
        return user_of(self._sign_in.check(username, password, address, device_token))

    def remember_device(self, user_id: int, device_token: str | None = None) -> str:
        """Note that a browser has signed this person in; return the token for its device cookie.

        Args:
            user_id: the person who just signed in.
            device_token: what the browser sent; it is kept if it is already this person's.
        """
        with self._storage.write() as connection:
            return devices.remember(connection, user_id, device_token, self._storage.clock.now())

    def first_admin(self, actor: Actor, username: str, password: str) -> User:
        """Make the first admin, who must change the password at the first sign-in.

        Works once in a database's life, also if all accounts are deleted later.

        Raises:
            SetupCompleted: it was done before.
            Conflict: there is an account of that name.
            Invalid: the username or the password is not allowed.
        """
        check_new(username, password, "", "")
        if self.setup_completed():
            raise SetupCompleted
        hashed = self._passwords.hash(password)
        with self._storage.write() as connection:
            now = str(self._storage.clock.now())
            statement = upsert(meta).values(key=SETUP_COMPLETED, value=now).on_conflict_do_nothing()
            if connection.execute(statement).rowcount == 0:
                raise SetupCompleted
            return self._records.insert(connection, actor, username, "admin", hashed, must_change_password=True)

    def setup_completed(self) -> bool:
        """Tell whether the first admin was made."""
        with self._storage.read() as connection:
            return connection.scalar(select(meta.c.value).where(meta.c.key == SETUP_COMPLETED)) is not None

    def create(
        self,
        actor: Actor,
        username: str,
        role: Role = "member",
        password: str | None = None,
        *,
        name: str = "",
        email: str = "",
        email_verified: bool = False,
        groups: Sequence[str] = (),
        must_change_password: bool = False,
    ) -> User:
        """Make an account; without a password it cannot sign in locally.

        ``email_verified`` says that somebody vouches for the address: an administrator who typed it, or a
        provider. Only then do hosts' rules about e-mails count it.

        Raises:
            Invalid: a value is not allowed; all errors at once.
            Conflict: the username is taken, in whatever case.
        """
        check_new(username, password, name, email, role, groups)
        hashed = None if password is None else self._passwords.hash(password)
        with self._storage.write() as connection:
            return self._records.insert(
                connection,
                actor,
                username,
                role,
                hashed,
                name=name,
                email=email,
                email_verified=email_verified,
                groups=tuple(sorted(set(groups))),
                must_change_password=must_change_password,
            )

    def change_password(
        self, actor: Actor, session: Session, current: str, new: str, *, device_token: str | None = None
    ) -> User:
        """Set one's own password, knowing the current one. All sessions end: begin a new one afterwards.

        APPSEC: hashing may wait for seconds. A reset, a link or a revocation that came meanwhile is an
        answer to a theft, and whoever stole the old password must not undo it: then nothing is changed.

        Args:
            actor: the person, with the address that failures count for.
            session: theirs, in which they ask for it.
            current: the password of now.
            new: the password from now on.
            device_token: as for :meth:`authenticate`.

        Raises:
            NotFound: the session has ended meanwhile, or the account is gone.
            Conflict: the password was changed meanwhile.
            Invalid: the new password is not allowed, or is the current one.
            BadCredentials, TooManyFailedLogins, Busy: as :meth:`authenticate`, of the current password.
        """
        username = self.get_by_id(session.user_id).username
        problems = password_problems(f"user/{username}", new, "new_password")
        if new == current:
            problems.append(
                FieldError(f"user/{username}", "new_password", "is the current password", "a different one")
            )
        if problems:
            raise Invalid(problems)
        user = self.authenticate(username, current, actor.address, device_token)
        hashed = self._passwords.hash(new)
        with self._storage.write() as connection:
            self._records.sessions.require_live(connection, session.id)
            before = row_of(connection, username)
            if before.id != session.user_id or credential_mark(before.password_hash) != user.credential:
                raise Conflict(f"user/{username}: the password was changed meanwhile; sign in with the new one")
            changed = self._records.set_password(connection, actor, "user.change_password", before, hashed, own=True)
        self._records.epoch.advance()
        return changed

    def reset_password(self, actor: Actor, username: str, new: str, *, must_change_password: bool = True) -> User:
        """Set somebody's password without knowing the old one, and lift the account's ban. All sessions end.

        Raises:
            NotFound: there is no such user.
            Invalid: the new password is not allowed.
        """
        problems = password_problems(f"user/{username}", new)
        if problems:
            raise Invalid(problems)
        self.get(username)
        hashed = self._passwords.hash(new)
        with self._storage.write() as connection:
            before = row_of(connection, username)
            user = self._records.set_password(
                connection, actor, "user.reset_password", before, hashed, must_change=must_change_password
            )
        self._records.epoch.advance()
        return user

    def get(self, username: str) -> User:
        """Return an account by its name, in whatever case.

        Raises:
            NotFound: there is no such user.
        """
        with self._storage.read() as connection:
            return user_of(row_of(connection, username))

    def get_by_id(self, user_id: int) -> User:
        """Return an account by its id.

        Raises:
            NotFound: there is no such user.
        """
        with self._storage.read() as connection:
            row = connection.execute(select(users).where(users.c.id == user_id)).first()
        if row is None:
            raise NotFound(f"There is no user with id {user_id}")
        return user_of(row)

    def list(self) -> list[User]:
        """Return all accounts, by name."""
        with self._storage.read() as connection:
            return [user_of(row) for row in connection.execute(select(users).order_by(users.c.username))]

    @property
    def counts_dropped(self) -> int:
        """Counts of failed sign-ins that went, since the start, although they still counted: a flood's (DAT-4)."""
        return self._records.throttle.dropped

    def sweep(self) -> int:
        """Drop failed sign-ins that count no more; return how many."""
        with self._storage.write() as connection:
            return self._records.throttle.sweep(connection)
