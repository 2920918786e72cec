// argos-caddy is Caddy with the handlers that find and guard every published host: the WAF, the CrowdSec bouncer, and small
// ones for dispatch, what upstreams answer, and request trailers; with the operator's own certificates; and with log
// encoders of which one costs nothing while nothing is logged, and one quotes no credential.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddy-dns/cloudflare"
	_ "github.com/caddy-dns/route53"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "argos-caddy/certificates"
	_ "argos-caddy/counters"
	_ "argos-caddy/crowdsec"
	_ "argos-caddy/gate"
	_ "argos-caddy/hosts"
	_ "argos-caddy/lazylog"
	_ "argos-caddy/logscrub"
	_ "argos-caddy/ratelimit"
	_ "argos-caddy/trailers"
	_ "argos-caddy/waf"
)

func main() { caddycmd.Main() }
