# ruff: noqa: E501 - SecLang has no way to break a line inside an action
"""The text of a WAF policy: mode, paranoia and an operator's own rules, around the OWASP Core Rule Set.

Hosts with the same three share one text, and so one engine in Caddy: a distinct text
costs about 4 MB and 18 ms. Why each line stands there is told in the annotated policy that
the Caddy build is tested with, ``roles/caddy/files/argos-caddy/waf/testdata/default-policy.conf``;
a test holds the two equal.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from argos.edge.model import Waf

_ENGINE = {"block": "On", "detect": "DetectionOnly"}

# Custom rules stand before the CRS, so that they can also exclude some of it by ``ctl:``.
_POLICY = r"""
Include @coraza.conf-recommended
SecRuleEngine @ENGINE@
SecAuditEngine Off
SecResponseBodyAccess Off
SecRequestBodyLimit 33554432
SecRequestBodyInMemoryLimit 33554432
SecUploadKeepFiles Off
SecRule &REQUEST_HEADERS:Content-Type "@gt 1" "id:10001,phase:1,deny,status:400,t:none,log,msg:'More than one Content-Type header',severity:'CRITICAL'"
SecRule &REQUEST_HEADERS:Content-Type "@eq 1" "id:10002,phase:1,pass,nolog,t:none,chain"
    SecRule REQUEST_HEADERS:Content-Type "!@rx ^[^a-z]*(?:application/x-www-form-urlencoded|multipart/form-data|application/(?:[a-z0-9.-]+\+)?json|(?:application/(?:soap\+)?|text/)xml|text/)" "t:none,t:lowercase,ctl:requestBodyAccess=Off"
SecAction "id:10003,phase:1,pass,nolog,t:none,ctl:forceRequestBodyVariable=On"
SecRule REQUEST_HEADERS:Content-Type "@rx ^[^a-z]*(?:application|text)/(?:[a-z0-9.-]+\+)?json" "id:10004,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=JSON"
SecRuleRemoveById 200002
SecRule INBOUND_DATA_ERROR "!@eq 1" "id:10005,phase:2,deny,status:400,t:none,log,msg:'The request body cannot be parsed',severity:'CRITICAL',chain"
    SecRule REQBODY_ERROR "!@eq 0" "t:none"
Include @crs-setup.conf.example
SecAction "id:900000,phase:1,pass,nolog,t:none,setvar:tx.blocking_paranoia_level=@PARANOIA@,setvar:tx.detection_paranoia_level=@PARANOIA@"
SecAction "id:900110,phase:1,pass,nolog,t:none,setvar:tx.inbound_anomaly_score_threshold=5,setvar:tx.outbound_anomaly_score_threshold=4"
SecAction "id:900200,phase:1,pass,nolog,t:none,setvar:'tx.allowed_methods=GET HEAD POST OPTIONS PUT PATCH DELETE PROPFIND PROPPATCH MKCOL MKCALENDAR COPY MOVE LOCK UNLOCK REPORT SEARCH'"
SecAction "id:900220,phase:1,pass,nolog,t:none,setvar:'tx.allowed_request_content_type=|application/x-www-form-urlencoded| |multipart/form-data| |multipart/related| |text/xml| |application/xml| |application/soap+xml| |application/json| |text/json| |application/cloudevents+json| |application/merge-patch+json| |application/json-patch+json| |application/vnd.api+json| |application/ld+json| |application/activity+json| |application/scim+json| |application/problem+json| |application/csp-report| |application/reports+json| |application/graphql| |application/x-ndjson| |text/plain| |text/csv| |text/markdown| |text/html| |text/calendar| |text/vcard| |application/octet-stream| |application/offset+octet-stream| |binary/octet-stream| |application/pdf| |application/zip| |application/gzip| |application/x-gzip| |application/x-tar| |application/x-7z-compressed| |application/epub+zip| |application/protobuf| |application/x-protobuf| |application/msgpack| |application/x-msgpack| |application/cbor| |application/dns-message| |application/x-git-upload-pack-request| |application/x-git-receive-pack-request| |application/vnd.docker.distribution.manifest.v2+json| |application/vnd.oci.image.manifest.v1+json| |application/vnd.oci.image.index.v1+json| |image/png| |image/jpeg| |image/gif| |image/webp| |image/avif| |image/heic| |image/heif| |image/bmp| |image/tiff| |image/svg+xml| |image/x-icon| |video/mp4| |video/quicktime| |video/webm| |video/x-matroska| |video/mpeg| |video/3gpp| |audio/mpeg| |audio/mp4| |audio/aac| |audio/ogg| |audio/flac| |audio/wav| |audio/webm|'"
SecAction "id:900250,phase:1,pass,nolog,t:none,setvar:'tx.restricted_headers_basic=/content-encoding/ /proxy/ /x-http-method-override/ /x-http-method/ /x-method-override/ /x-middleware-subrequest/'"
@CUSTOM@Include @owasp_crs/*.conf
"""


@lru_cache(maxsize=256)
def policy_text(waf: Waf) -> str:
    """SecLang for ``waf``, whose mode is ``detect`` or ``block``."""
    custom = "".join(f"{rule.strip()}\n" for rule in waf.custom_rules)
    return (
        _POLICY.lstrip()
        .replace("@ENGINE@", _ENGINE[waf.mode])
        .replace("@PARANOIA@", str(waf.paranoia))
        .replace("@CUSTOM@", custom)
    )


def policy_name(waf: Waf) -> str:
    """A short name for the event log, such as ``block-1``; with own rules, also their digest."""
    if not waf.custom_rules:
        return f"{waf.mode}-{waf.paranoia}"
    digest = hashlib.sha256("\n".join(waf.custom_rules).encode()).hexdigest()
    return f"{waf.mode}-{waf.paranoia}-{digest[:8]}"
