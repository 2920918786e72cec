package crowdsec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/crowdsecurity/crowdsec/pkg/apiclient"
	"github.com/crowdsecurity/crowdsec/pkg/models"
	csbouncer "github.com/crowdsecurity/go-cs-bouncer"
	"github.com/sirupsen/logrus"
)

// A hostile or broken LAPI (DEP-4) gets this much of our time and memory per answer.
const (
	answerTimeout = 20 * time.Second
	answerBytes   = 128 << 20 // unpacked; a real decision takes about 200 bytes
	answerObjects = 500_000   // decisions in one answer: tiny objects would grow a hundredfold when decoded
)

var errTooLarge = errors.New("LAPI's answer is larger than any list of decisions should be")

func init() { logrus.SetOutput(io.Discard) } // go-cs-bouncer logs through the global logrus, keys' first letters included

// lapi asks one CrowdSec LAPI, with one key, through go-cs-bouncer's client.
type lapi struct {
	stream *csbouncer.StreamBouncer
	status *lastStatus
}

func newLAPI(url, key string, timeout time.Duration) (*lapi, error) {
	s := &csbouncer.StreamBouncer{APIUrl: url, APIKey: key, TickerInterval: "10s", UserAgent: "argos-caddy/1", Scopes: []string{"ip", "range"}}
	if err := s.Init(); err != nil {
		return nil, err
	}
	client := s.APIClient.GetClient()
	keyed, ok := client.Transport.(*apiclient.APIKeyTransport)
	if !ok {
		return nil, fmt.Errorf("go-cs-bouncer made an unexpected transport %T", client.Transport)
	}
	status := &lastStatus{}
	keyed.Transport = &bounded{inner: keyed.Transport, status: status}
	client.Timeout = timeout
	client.CheckRedirect = func(*http.Request, []*http.Request) error { // the key would go along
		return errors.New("LAPI answered with a redirect")
	}
	return &lapi{stream: s, status: status}, nil
}

// decisions asks for everything (full), or for what changed since this key last asked.
func (l *lapi) decisions(ctx context.Context, full bool) (*models.DecisionsStreamResponse, int, error) {
	opts := l.stream.Opts
	opts.Startup, opts.CommunityPull, opts.AdditionalPull = full, true, true
	l.status.code, l.status.bytes = 0, 0
	answer, _, err := l.stream.APIClient.Decisions.GetStream(ctx, opts)
	switch {
	case err != nil:
		return nil, l.status.code, err
	case l.status.code != http.StatusOK:
		return nil, l.status.code, fmt.Errorf("LAPI answered %d", l.status.code)
	case answer == nil || l.status.bytes == 0: // the client takes an empty body for an empty list
		return nil, l.status.code, errors.New("LAPI answered nothing")
	}
	return answer, l.status.code, nil
}

// lastStatus is what the transport saw. One poll runs at a time.
type lastStatus struct{ code, bytes int }

// bounded limits what an answer may cost, and asks for every decision: by default LAPI names only the longest one of
// each address, and a bouncer could not tell what stands when that is deleted.
type bounded struct {
	inner  http.RoundTripper
	status *lastStatus
}

// RoundTrip implements http.RoundTripper.
func (t *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set("dedup", "false")
	r.URL.RawQuery = q.Encode()
	inner := t.inner
	if inner == nil {
		inner = http.DefaultTransport
	}
	resp, err := inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.status.code = resp.StatusCode
	resp.Body = &limited{ReadCloser: resp.Body, status: t.status}
	return resp, nil
}

type limited struct {
	io.ReadCloser
	status  *lastStatus
	objects int
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.status.bytes += n
	l.objects += bytes.Count(p[:n], []byte{'{'})
	if l.status.bytes > answerBytes || l.objects > answerObjects {
		return 0, errTooLarge
	}
	return n, err
}
