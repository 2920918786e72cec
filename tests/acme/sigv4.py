"""AWS Signature Version 4, as a server checks it: what was signed with the secret key that a caller says it has."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


def signed_with(secret: str, key_id: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Tell whether a request was signed with ``secret`` by ``key_id`` (header names in any case)."""
    given = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    found = _AUTHORIZATION.fullmatch(given.get("authorization", ""))
    if found is None:
        return False
    credential, names, signature = found.groups()
    who, *scope = credential.split("/")
    parts = urlsplit(target)
    query = sorted(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    payload = given.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    canonical = [method, quote(parts.path, safe="/-_.~"), "&".join(query)]
    canonical += [f"{name}:{given.get(name, '')}" for name in names.split(";")]
    canonical += ["", names, payload]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", given.get("x-amz-date", ""), "/".join(scope), digest])
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    wanted = hmac.digest(key, text.encode(), "sha256").hex()
    return who == key_id and hmac.compare_digest(wanted, signature)
