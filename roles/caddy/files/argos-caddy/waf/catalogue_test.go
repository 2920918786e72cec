package waf

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	crs "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// cataloguePath is what the runtime checks exclusions against, and explains events by.
const cataloguePath = "../../../../../runtime/src/argos/edge/crs_rules.json"

type catalogued struct {
	ID       int      `json:"id"`
	Msg      string   `json:"msg"`
	Severity string   `json:"severity"`
	Paranoia int      `json:"paranoia"`
	File     string   `json:"file"`
	Tags     []string `json:"tags"`
}

var message = regexp.MustCompile(`msg:'((?:[^'\\]|\\.)*)'`)

// The runtime's list of rules is the engine's own. ARGOS_UPDATE=1 writes it anew after an update of the rule set.
func TestTheRuntimesCatalogueIsTheEngines(t *testing.T) {
	var rules []catalogued
	config := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig().WithRootFS(crs.FS), func(r types.RuleMetadata) {
		if !excludable(r) {
			return
		}
		c := catalogued{ID: r.ID(), Msg: message.FindStringSubmatch(r.Raw())[1], Severity: r.Severity().String(), Paranoia: 1,
			File: strings.TrimPrefix(r.File(), "@owasp_crs/"), Tags: []string{}}
		for _, tag := range r.Tags() {
			if level, ok := strings.CutPrefix(tag, "paranoia-level/"); ok {
				c.Paranoia, _ = strconv.Atoi(level)
			}
			if tag != "OWASP_CRS" { // every rule of it: that is mode off
				c.Tags = append(c.Tags, tag)
			}
		}
		slices.Sort(c.Tags)
		rules = append(rules, c)
	})
	if _, err := coraza.NewWAF(config.WithDirectives(policy(t, "On"))); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rules, func(a, b catalogued) int { return a.ID - b.ID })
	var want bytes.Buffer
	want.WriteString("[\n")
	for i, r := range rules {
		line, _ := json.Marshal(r)
		want.Write(line)
		want.WriteString(map[bool]string{true: "\n", false: ",\n"}[i == len(rules)-1])
	}
	want.WriteString("]\n")
	if os.Getenv("ARGOS_UPDATE") == "1" {
		if err := os.WriteFile(cataloguePath, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(cataloguePath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not the engine's: run ARGOS_UPDATE=1 go test ./waf -run Catalogue", cataloguePath)
	}
	if len(rules) < 300 {
		t.Errorf("%d rules: the rule set has more", len(rules))
	}
}
