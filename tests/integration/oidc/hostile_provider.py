"""An OpenID Connect provider of our own, over real HTTP on loopback, that lies on request.

Honest unless told otherwise: :attr:`HostileProvider.forge` and :attr:`HostileProvider.answers` change what it sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

CLIENT = "argos"
SECRET = "a client secret: with % and +"
RSA = {kid: rsa.generate_private_key(65537, 2048) for kid in ("rsa-1", "rsa-2", "stranger")}
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(kid: str) -> dict[str, str]:
    """The public key of that id."""
    if kid == "ec-1":
        point = EC.public_key().public_numbers()
        return {"kty": "EC", "crv": "P-256", "kid": kid, "x": number(point.x), "y": number(point.y), "use": "sig"}
    if kid == "ed-1":
        raw = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(raw), "use": "sig"}
    numbers = RSA[kid].public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "n": number(numbers.n), "e": number(numbers.e), "use": "sig"}


def public_pem(kid: str) -> bytes:
    """The public key as an attacker holds it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return RSA[kid].public_key().public_bytes(serialization.Encoding.PEM, form)


def sign(algorithm: str, kid: str, signed: bytes) -> bytes:
    """A signature, made without the library under test."""
    if algorithm == "none":
        return b""
    if algorithm == "HS256":
        return hmac.digest(public_pem(kid), signed, "sha256")
    if algorithm == "ES256":
        r, s = decode_dss_signature(EC.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if algorithm == "EdDSA":
        return ED.sign(signed)
    if algorithm == "PS256":
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return RSA[kid].sign(signed, pss, hashes.SHA256())
    return RSA[kid].sign(signed, padding.PKCS1v15(), hashes.SHA256())


class HostileProvider:
    """A running provider; :meth:`close` ends it."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.reset()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self) -> None:
        """Honest again."""
        self.person: dict[str, Any] = {
            "sub": "subject-1",
            "email": "carol@home.example",
            "email_verified": True,
            "preferred_username": "carol",
            "name": "Carol",
            "groups": ["family"],
        }
        self.forge: Callable[[dict[str, Any], dict[str, Any]], None] = lambda header, claims: None
        self.signing_kid = "rsa-1"
        self.published = ["rsa-1", "ec-1", "ed-1"]
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.metadata: dict[str, Any] = {}
        self.tamper: Callable[[str], str] = lambda token: token
        self.userinfo_only: set[str] = set()
        self.received: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.codes: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()

    def count(self, path: str) -> int:
        """How often ``path`` was asked."""
        return sum(1 for asked, _form, _headers in self.received if asked == path)

    def discovery(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            **self.metadata,
        }

    def sign_in(self, authorization_url: str) -> dict[str, str]:
        """The person signs in at the provider's page; what the browser is sent back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(authorization_url).query).items()}
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def callback(self, authorization_url: str, **more: str) -> str:
        """The path and query of our callback, as the provider redirects to it."""
        return f"/oidc/callback?{urlencode({**self.sign_in(authorization_url), **more})}"

    def id_token(self, asked: dict[str, str]) -> str:
        """A token for what was asked, as forged as wanted."""
        now = int(time.time())
        kept = {name: value for name, value in self.person.items() if name not in self.userinfo_only}
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            **kept,
        }
        header: dict[str, Any] = {"alg": "RS256", "kid": self.signing_kid}
        self.forge(header, claims)
        key = header.pop("_key", self.signing_kid)
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        return self.tamper(f"{signed}.{b64(sign(header['alg'], key, signed.encode()))}")

    def token(self, form: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """The token endpoint: checks client, code, verifier as RFC 6749 and RFC 7636 say."""
        basic = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        sent = tuple(unquote(part) for part in basic.partition(":")[::2])
        if sent != (CLIENT, SECRET) and (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        if b64(hashlib.sha256(form["code_verifier"].encode()).digest()) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {"access_token": "an access token", "token_type": "Bearer", "id_token": self.id_token(asked)}


def _handler(provider: HostileProvider) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a handler is a class in a function
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            self.serve({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.serve({name: values[0] for name, values in parse_qs(body).items()})

        def serve(self, form: dict[str, str]) -> None:
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.received.append((path, form, headers))
            if path in provider.answers:
                provider.answers[path](self)
                return
            if path == "/.well-known/openid-configuration":
                self.say(200, provider.discovery())
            elif path == "/keys":
                self.say(200, {"keys": [jwk(kid) for kid in provider.published]})
            elif path == "/token":
                self.say(*provider.token(form, headers))
            elif path == "/userinfo":
                self.say(200, provider.person)
            else:
                self.say(404, {})

        def say(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
