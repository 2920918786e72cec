// Package ratelimit is the handler that bounds requests in a sliding window, by client network, header value or host.
//
// It takes the JSON of caddy-ratelimit, which it replaces: that one keeps any number of keys, each with room for every
// request that is allowed (48 KB at 2000), for up to a window and a minute, and logs each refusal. Here a key costs at
// most 0.5 KB and there are at most mostKeys of them.
package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"argos-caddy/counters"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(Handler{})
	counters.Publish("rate_limit", func() any {
		return map[string]any{
			"keys":      remembered.keys.Load(),
			"most_keys": remembered.most,
			"forgotten": remembered.forgotten.Load(),
			"refused":   remembered.refused.Load(),
		}
	})
}

// Handler refuses a request over one of its limits with 429 and Retry-After.
type Handler struct {
	// By a name that no other handler's limit has; what was counted under it outlives a reload.
	RateLimits map[string]*Limit `json:"rate_limits"`

	limits []*Limit // the tightest first: what it refuses is not counted by the others
	held   []string
}

// Limit is one of them.
type Limit struct {
	// Which requests it is about; all by default.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Whose requests are counted together, with placeholders.
	Key string `json:"key"`
	// How many may come in a window, at least 1.
	MaxEvents int `json:"max_events"`
	// From any request on, not from the full minute.
	Window caddy.Duration `json:"window"`

	name     string
	matchers caddyhttp.MatcherSets
	zone     *zone
	limit    limit
}

var (
	zones = caddy.NewUsagePool()
	// With a seed of this process nobody finds a key that is counted as another's; no header's value stays in memory.
	seed    = maphash.MakeSeed()
	errOver = errors.New("over its limit of requests")
)

// CaddyModule names the module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.rate_limit", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the zones, those of the configuration before among them.
func (h *Handler) Provision(ctx caddy.Context) error {
	for name, one := range h.RateLimits {
		if one == nil || one.MaxEvents < 1 || one.MaxEvents > math.MaxInt32 || one.Window <= 0 {
			return fmt.Errorf("rate_limit %s: needs max_events of 1 or more and a window over 0", name)
		}
		if len(one.MatcherSetsRaw) > 0 {
			loaded, err := ctx.LoadModule(one, "MatcherSetsRaw")
			if err != nil {
				return fmt.Errorf("rate_limit %s: %w", name, err)
			}
			if err := one.matchers.FromInterface(loaded); err != nil {
				return fmt.Errorf("rate_limit %s: %w", name, err)
			}
		}
		value, _, err := zones.LoadOrNew(name, func() (caddy.Destructor, error) { return remembered.open(), nil })
		if err != nil {
			return err
		}
		h.held = append(h.held, name)
		one.name, one.zone = name, value.(*zone)
		one.limit = limit{most: uint32(one.MaxEvents), window: int64(one.Window)}
		h.limits = append(h.limits, one)
	}
	slices.SortFunc(h.limits, func(a, b *Limit) int {
		return cmp.Or(cmp.Compare(a.rate(), b.rate()), cmp.Compare(a.name, b.name))
	})
	return nil
}

func (l *Limit) rate() float64 { return float64(l.MaxEvents) / float64(l.Window) }

// Cleanup lets go of the zones.
func (h *Handler) Cleanup() error {
	var failures error
	for _, name := range h.held {
		_, err := zones.Delete(name)
		failures = errors.Join(failures, err)
	}
	h.held = nil
	return failures
}

// ServeHTTP counts the request, or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	replacer := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, one := range h.limits {
		matches, err := one.matchers.AnyMatchWithError(r)
		if err != nil {
			return err
		}
		if !matches {
			continue
		}
		key := maphash.String(seed, replacer.ReplaceAll(one.Key, ""))
		if wait := one.zone.take(key, one.limit, now()); wait > 0 {
			seconds := (wait + int64(time.Second) - 1) / int64(time.Second)
			w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10)) // RFC 9110 §10.2.3
			return caddyhttp.Error(http.StatusTooManyRequests, errOver)
		}
	}
	return next.ServeHTTP(w, r)
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
