package waf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	crs "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// engines holds one Coraza engine per distinct policy text (about 4 MB and 18 ms each), over reloads too.
var engines = caddy.NewUsagePool()

type policyKey [sha256.Size]byte

type engine struct {
	coraza.WAF
	mode  string // block, detect or off
	rules []ruleTags
}

// ruleTags is a rule that an exclusion may name.
type ruleTags struct {
	id   int
	tags []string
}

// Destruct gives the engine's memoized patterns back.
func (e *engine) Destruct() error {
	if c, ok := e.WAF.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// engineLine finds the policy's own SecRuleEngine lines; the last one is in force.
var engineLine = regexp.MustCompile(`(?mi)^[ \t]*SecRuleEngine[ \t]+"?(On|Off|DetectionOnly)\b`)

var modes = map[string]string{"on": "block", "detectiononly": "detect", "off": "off"}

// loadEngine compiles a policy, or shares the one that stands. The text is SecLang; Include reaches the embedded CRS
// (@coraza.conf-recommended, @crs-setup.conf.example, @owasp_crs/*.conf) and no file of the system.
func loadEngine(text string) (policyKey, *engine, error) {
	key := policyKey(sha256.Sum256([]byte(text)))
	v, _, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) { return compile(text) })
	if err != nil {
		return key, nil, err
	}
	return key, v.(*engine), nil
}

func compile(text string) (e *engine, err error) {
	defer func() { // Coraza panics on a few malformed directives
		if p := recover(); p != nil {
			e, err = nil, fmt.Errorf("the engine panicked on the policy: %v", p)
		}
	}()
	lines := engineLine.FindAllStringSubmatch(text, -1)
	if lines == nil {
		return nil, errors.New("the policy lacks a line SecRuleEngine On, DetectionOnly or Off")
	}
	e = &engine{mode: modes[strings.ToLower(lines[len(lines)-1][1])]}
	narrowed, n, done := narrow(text)
	defer done()
	config := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig().WithRootFS(crs.FS), func(r types.RuleMetadata) {
		n.add(r)
		if excludable(r) {
			e.rules = append(e.rules, ruleTags{r.ID(), r.Tags()})
		}
	})
	if e.WAF, err = coraza.NewWAF(config.WithDirectives(narrowed)); err != nil {
		return nil, err
	}
	return e, nil
}

// excludable tells a rule that finds something from the bookkeeping around it: without the set-up of 901, the levels'
// own skips (942011 and the like) and the sums of 949, 959 and 980 the policy would be another, or none.
func excludable(r types.RuleMetadata) bool {
	id := r.ID()
	switch id / 1000 {
	case 901, 949, 959, 980:
		return false
	}
	if id < 900_000 && id/1000 != 200 { // an operator's own, which may go without a message; 200 is Coraza's
		return id >= 100_000
	}
	// 200002 is in no policy: 10005 stands for it.
	return id != 200_002 && strings.Contains(r.Raw(), "msg:")
}
