package crowdsec

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

const (
	saveEvery     = 5 * time.Second
	askAllAgain   = 10 * time.Minute // while some found no room: by then there may be
	complainAgain = 10 * time.Minute
	keyBytes      = 4096
)

var errNoKey = errors.New("there is no bouncer key: its file is missing or empty")

// bouncers holds one bouncer per LAPI and state file. It outlives reloads, so that a reload opens no gap.
var bouncers = caddy.NewUsagePool()

// settings may change with a reload, without a new bouncer.
type settings struct {
	key      string // may be a placeholder, such as {file./run/argos-credentials/crowdsec-bouncer-key}
	interval time.Duration
}

type bouncer struct {
	url, stateFile string
	log            *zap.Logger
	now            func() time.Time
	timeout        time.Duration // of one poll

	table    atomic.Pointer[decisions]
	settings atomic.Pointer[settings]
	health   health

	start  sync.Once
	cancel context.CancelFunc
	done   chan struct{} // nil until started
}

// newBouncer starts nothing and asks nobody; it only reads the decisions of last time, so that they are in force
// before the first request, whichever app Caddy starts first.
func newBouncer(url, stateFile string, log *zap.Logger) *bouncer {
	b := &bouncer{url: url, stateFile: stateFile, log: log, now: time.Now, timeout: answerTimeout}
	b.table.Store(noDecisions())
	if stateFile != "" {
		d, err := load(stateFile, b.now())
		if err != nil {
			log.Error("the saved decisions cannot be read; CrowdSec's answer will replace them", zap.Error(err))
		}
		b.table.Store(d)
	}
	return b
}

// run begins to poll, with the settings of the newest configuration.
func (b *bouncer) run(s settings) {
	b.settings.Store(&s)
	b.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		b.cancel, b.done = cancel, make(chan struct{})
		go b.loop(ctx)
		published.Store(b)
	})
}

// Destruct stops polling, and saves.
func (b *bouncer) Destruct() error {
	if b.cancel != nil {
		b.cancel()
		<-b.done
		published.CompareAndSwap(b, nil)
	}
	return nil
}

func (b *bouncer) banned(ip netip.Addr) bool { return b.table.Load().banned(ip, b.now()) }

// loop polls until Destruct. After any failure it asks for everything again: LAPI counts an answer as delivered even
// when it was cut on the way.
func (b *bouncer) loop(ctx context.Context) {
	defer close(b.done)
	var (
		client  *lapi
		key     string
		full    = true
		unsaved bool
		lastRun time.Time
		asked   time.Time // for everything
	)
	defer func() {
		if unsaved {
			b.save()
		}
	}()
	for {
		s := b.settings.Load()
		if k := resolve(s.key); k != key || client == nil { // read again each time: a key made later needs no reload
			key, client, full = k, b.client(k), true
		}
		if b.table.Load().leftOut > 0 && b.now().Sub(asked) >= askAllAgain {
			full = true
		}
		if client != nil {
			if full {
				asked = b.now()
			}
			changed, err := b.poll(ctx, client, full)
			full = err != nil
			unsaved = unsaved || changed
		}
		if unsaved && b.now().Sub(lastRun) >= saveEvery {
			unsaved, lastRun = !b.save(), b.now()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.interval):
		}
	}
}

// resolve reads the key. It is empty when its file is missing. A file is read here, as Caddy's own placeholder would
// log an error at each poll.
func resolve(key string) string {
	if path, ok := strings.CutPrefix(key, "{file."); ok && strings.HasSuffix(path, "}") {
		f, err := os.Open(strings.TrimSuffix(path, "}"))
		if err != nil {
			return ""
		}
		defer f.Close()
		text, _ := io.ReadAll(io.LimitReader(f, keyBytes))
		return strings.TrimSpace(string(text))
	}
	return strings.TrimSpace(caddy.NewReplacer().ReplaceAll(key, ""))
}

func (b *bouncer) client(key string) *lapi {
	if key == "" {
		b.failed(errNoKey, 0)
		return nil
	}
	client, err := newLAPI(b.url, key, b.timeout)
	if err != nil {
		b.failed(err, 0)
		return nil
	}
	return client
}

// poll asks once. An answer that cannot be read leaves the table as it is.
func (b *bouncer) poll(ctx context.Context, client *lapi, full bool) (changed bool, err error) {
	answer, status, err := client.decisions(ctx, full)
	if err != nil {
		if ctx.Err() == nil {
			b.failed(err, status)
		}
		return false, err
	}
	before := b.table.Load()
	after, ignored, err := before.changed(ctx, answer, full, b.now())
	if err != nil {
		return false, err
	}
	b.table.Store(after)
	b.answered(len(answer.New), len(answer.Deleted), ignored, full)
	if after.leftOut > 0 && before.leftOut == 0 {
		b.log.Error("there is no room for all of CrowdSec's decisions; what stood before stays, the rest is left out",
			zap.Int("left_out", after.leftOut), zap.Int("held", after.size()))
	}
	return after != before, nil
}

func (b *bouncer) answered(added, deleted, ignored int, full bool) {
	if was := b.health.good(b.now(), ignored); was != "" {
		b.log.Info("CrowdSec answers again")
	}
	if added+deleted > 0 {
		b.log.Info("decisions", zap.Bool("full", full), zap.Int("new", added), zap.Int("deleted", deleted), zap.Int("total", b.table.Load().size()))
	}
}

func (b *bouncer) failed(err error, status int) {
	text := err.Error()
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		text = "LAPI refuses the bouncer key"
	}
	if b.health.bad(b.now(), text) {
		b.log.Error("CrowdSec cannot be asked; known bans stay in force", zap.String("error", text), zap.String("lapi", b.url))
	}
}

func (b *bouncer) save() bool {
	if b.stateFile == "" {
		return true
	}
	err := b.table.Load().save(b.stateFile, b.now())
	if b.health.saved(err) {
		b.log.Error("the decisions cannot be saved", zap.Error(err))
	}
	return err == nil
}
