// Package crowdsec is the app `crowdsec`, which keeps CrowdSec's decisions, and http.handlers.crowdsec, which enforces
// them.
package crowdsec

import (
	"fmt"
	"net/url"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/gaissmai/bart"
)

func init() { caddy.RegisterModule(new(App)) }

const (
	defaultInterval = 10 * time.Second // a ban is in force within 20 s
	longestInterval = 15 * time.Second // ING-3
)

// App polls one LAPI and keeps its decisions in memory and in a file.
type App struct {
	// APIURL is LAPI's address, such as http://127.0.0.1:8080.
	APIURL string `json:"api_url"`
	// APIKey is the bouncer's key; may be a {file.…} placeholder. Missing or refused, it is a health error: known bans
	// stay in force, and a key that comes later is taken without a reload.
	APIKey string `json:"api_key,omitempty"`
	// Interval between polls, at most 15 s (default 10 s).
	Interval caddy.Duration `json:"interval,omitempty"`
	// StateFile holds the decisions over a restart, mode 0600; empty: they are not saved.
	StateFile string `json:"state_file,omitempty"`
	// Allow names addresses and ranges that no decision stops: the operator's whitelist.
	Allow []string `json:"allow,omitempty"`

	allowed *bart.Lite // of this configuration; the bouncer outlives it
	poolKey string
	bouncer *bouncer
}

// CaddyModule names the module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "crowdsec", New: func() caddy.Module { return new(App) }}
}

// Provision checks the settings and reads the saved decisions; it asks nobody, as `caddy validate` runs it too.
func (a *App) Provision(ctx caddy.Context) error {
	u, err := url.Parse(a.APIURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("crowdsec: api_url is %q; want a URL such as http://127.0.0.1:8080", a.APIURL)
	}
	if a.Interval == 0 {
		a.Interval = caddy.Duration(defaultInterval)
	}
	if a.Interval < caddy.Duration(time.Second) || a.Interval > caddy.Duration(longestInterval) {
		return fmt.Errorf("crowdsec: interval is %s; want 1s to %s", time.Duration(a.Interval), longestInterval)
	}
	a.allowed = new(bart.Lite)
	for _, s := range a.Allow {
		p, ok := parsePrefix(s)
		if !ok {
			return fmt.Errorf("crowdsec: allow holds %q; want an address or a range such as 203.0.113.0/24", s)
		}
		a.allowed.Insert(p)
	}
	log := ctx.Logger()
	a.poolKey = a.APIURL + "\x00" + a.StateFile
	v, _, err := bouncers.LoadOrNew(a.poolKey, func() (caddy.Destructor, error) {
		return newBouncer(a.APIURL, a.StateFile, log), nil
	})
	if err != nil {
		a.poolKey = ""
		return err
	}
	a.bouncer = v.(*bouncer)
	return nil
}

// Start begins to poll, or gives a bouncer that runs already the new settings.
func (a *App) Start() error {
	a.bouncer.run(settings{key: a.APIKey, interval: time.Duration(a.Interval)})
	return nil
}

// Stop leaves the bouncer to the next configuration; Cleanup ends it when there is none.
func (a *App) Stop() error { return nil }

// Cleanup gives back what Provision took.
func (a *App) Cleanup() error {
	if a.poolKey == "" {
		return nil
	}
	_, err := bouncers.Delete(a.poolKey)
	return err
}

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
