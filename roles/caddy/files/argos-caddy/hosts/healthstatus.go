package hosts

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() { caddy.RegisterModule(HealthStatuses{}) }

// HealthStatuses is Caddy's HTTP transport for a group whose active check takes several statuses: Caddy's own takes one,
// or a class. What a visitor's request is answered with passes as it came.
type HealthStatuses struct {
	reverseproxy.HTTPTransport
	// Ranges of statuses that a healthy upstream answers with, both ends included.
	Expect [][2]int `json:"expect"`
}

// CaddyModule names the module.
func (HealthStatuses) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.health_statuses",
		New: func() caddy.Module { return new(HealthStatuses) },
	}
}

// Provision sets the transport up.
func (h *HealthStatuses) Provision(ctx caddy.Context) error {
	if len(h.Expect) == 0 {
		return errors.New("health_statuses: needs a status to expect")
	}
	return h.HTTPTransport.Provision(ctx)
}

// RoundTrip makes an error of a check that got another status, and 200 of one that got one of those.
func (h *HealthStatuses) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := h.HTTPTransport.RoundTrip(r)
	// Only a request that came to a server has variables.
	if err != nil || r.Context().Value(caddyhttp.VarsCtxKey) != nil {
		return response, err
	}
	for _, expected := range h.Expect {
		if expected[0] <= response.StatusCode && response.StatusCode <= expected[1] {
			response.StatusCode = http.StatusOK
			return response, nil
		}
	}
	_ = response.Body.Close()
	return nil, fmt.Errorf("the status is %d, none of %v", response.StatusCode, h.Expect)
}

var (
	_ caddy.Provisioner                                = (*HealthStatuses)(nil)
	_ caddy.CleanerUpper                               = (*HealthStatuses)(nil)
	_ http.RoundTripper                                = (*HealthStatuses)(nil)
	_ reverseproxy.TLSTransport                        = (*HealthStatuses)(nil)
	_ reverseproxy.H2CTransport                        = (*HealthStatuses)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*HealthStatuses)(nil)
	_ reverseproxy.ProxyProtocolTransport              = (*HealthStatuses)(nil)
)
