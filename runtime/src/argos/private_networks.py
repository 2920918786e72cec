"""Which networks are nobody's on the internet, and for what."""

from __future__ import annotations

# RFC 1918, RFC 4193, RFC 3927, RFC 4291 §2.5.6 and loopback: what a house uses, and no router of the internet carries.
# CrowdSec's whitelist exempts the same (argos_crowdsec_whitelist of role crowdsec). Not ipaddress's is_private: that
# counts the documentation ranges too.
PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)

# RFC 6598 beside them, the unspecified address and multicast: no visitor from the internet has such an address.
NO_VISITORS = (*PRIVATE, "0.0.0.0/8", "100.64.0.0/10", "224.0.0.0/4", "::/128", "ff00::/8")
