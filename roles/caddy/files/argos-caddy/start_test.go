package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the real argos-caddy: started under that name it behaves as such.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "argos-caddy" {
		main()
		return
	}
	os.Exit(m.Run())
}

// guest is a directory laid out like a guest, on which the start script runs the real Caddy.
type guest struct {
	t   *testing.T
	dir string
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, dir: t.TempDir()}
	for _, d := range []string{"edge", "credentials", "run", "etc", "data"} {
		if err := os.Mkdir(filepath.Join(g.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, filepath.Join(g.dir, "argos-caddy")); err != nil {
		t.Fatal(err)
	}
	g.write("etc/bootstrap.json", g.config("bootstrap"))
	return g
}

func (g *guest) write(name, text string) {
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) admin() string { return "unix/" + g.dir + "/run/admin.sock|0660" }

// site is where Caddy listens: a socket of the guest's own, as a port may be taken between two starts.
func (g *guest) site() string { return g.dir + "/run/site.sock" }

// config answers every request with its name.
func (g *guest) config(name string) string {
	return fmt.Sprintf(`{"admin": {"listen": %q, "config": {"persist": false}}, "apps": {"http": {"servers": {"s": {"listen": ["unix/%s"],
		"automatic_https": {"disable": true}, "routes": [{"handle": [{"handler": "static_response", "body": %q}]}]}}}}}`, g.admin(), g.site(), name)
}

// script runs roles/caddy/files/start with the given verb.
func (g *guest) script(verb string) *exec.Cmd {
	c := exec.Command("/bin/sh", "../start", verb)
	c.Env = append(os.Environ(), "ARGOS_CADDY_BINARY="+g.dir+"/argos-caddy", "ARGOS_EDGE_DIR="+g.dir+"/edge",
		"ARGOS_CREDENTIALS_DIR="+g.dir+"/credentials", "ARGOS_CADDY_BOOTSTRAP="+g.dir+"/etc/bootstrap.json",
		"ARGOS_CADDY_RUN_DIR="+g.dir+"/run", "XDG_DATA_HOME="+g.dir+"/data", "XDG_CONFIG_HOME="+g.dir+"/data", "CADDY_ADMIN="+g.admin())
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { log.Close() })
	c.Stdout, c.Stderr = log, log
	return c
}

// starts expects Caddy to come up on the named configuration, then does what the unit does; stop ends it.
func (g *guest) starts(want string) (stop func()) {
	g.t.Helper()
	c := g.script("start")
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.serves(want)
	if err := g.script("up").Run(); err != nil {
		g.t.Error(err)
	}
	return func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
}

func (g *guest) serves(want string) {
	g.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", g.site()) }}}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := client.Get("http://site/"); err == nil {
			body := make([]byte, 100)
			n, _ := resp.Body.Read(body)
			resp.Body.Close()
			if string(body[:n]) == want {
				return
			}
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(g.dir, "log"))
			g.t.Fatalf("does not serve %q:\n%s", want, log)
		}
	}
}

// SEC-3 and the contract: the active revision needs its credentials; without the runtime there are fallback and bootstrap.
func TestTheEdgeStartsOnTheBestConfigurationThereIs(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.starts("bootstrap")()
	g.write("edge/caddy.json", g.config("active"))
	g.starts("bootstrap")()
	g.write("edge/fallback.json", g.config("fallback"))
	g.starts("fallback")()
	g.write("credentials/complete", "")
	g.starts("active")()
}

func TestAConfigurationThatCaddyRefusesIsPassedOver(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.write("credentials/complete", "")
	g.write("edge/caddy.json", `{"apps": {"http": {"servers": {"s": {"routes": [{"handle": [{"handler": "nonsense"}]}]}}}}}`)
	g.write("edge/fallback.json", g.config("fallback"))
	g.starts("fallback")()
	g.write("edge/fallback.json", "{")
	g.starts("bootstrap")()
	if log, _ := os.ReadFile(filepath.Join(g.dir, "log")); !strings.Contains(string(log), "nonsense") {
		t.Errorf("the log does not tell the reason:\n%s", log)
	}
}

// What validation cannot know: here an address that cannot be listened on.
func TestAConfigurationThatDoesNotComeUpIsPassedOverAtTheNextTry(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.write("credentials/complete", "")
	unusable := strings.Replace(g.config("active"), "unix/"+g.site(), "192.0.2.1:443", 1)
	g.write("edge/caddy.json", unusable)
	g.write("edge/fallback.json", g.config("fallback"))
	if err := g.script("start").Run(); err == nil {
		t.Fatal("came up on an address that is not ours")
	}
	g.starts("fallback")()
	g.write("edge/caddy.json", g.config("active")) // mended meanwhile: success forgot the failure
	g.starts("active")()
}

// A bootstrap that did not come up either is no reason to stay on it.
func TestWhenAllHaveFailedTheBestIsTriedAgain(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	g.write("credentials/complete", "")
	g.write("edge/caddy.json", g.config("active"))
	for _, name := range []string{"edge/caddy.json", "etc/bootstrap.json"} {
		log, err := os.OpenFile(filepath.Join(g.dir, "run/start.failed"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(log, filepath.Join(g.dir, name))
		log.Close()
	}
	g.starts("active")()
}

func TestReloadTakesTheBestConfiguration(t *testing.T) {
	t.Parallel()
	g := newGuest(t)
	defer g.starts("bootstrap")()
	g.write("edge/fallback.json", g.config("fallback"))
	if err := g.script("reload").Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(g.dir, "log"))
		t.Fatalf("%v\n%s", err, log)
	}
	g.serves("fallback")
}
