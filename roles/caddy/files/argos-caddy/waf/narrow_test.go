package waf

import (
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	crs "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// strict is the default policy at level 4, that only logs: every rule runs, none ends the others.
func strict(t *testing.T) string {
	return strings.ReplaceAll(policy(t, "DetectionOnly"), "paranoia_level=1", "paranoia_level=4")
}

// asked is a request with the same text in several places.
type asked struct {
	uri, contentType, body string
	headers                map[string]string
}

// matches are the rules that a request meets, by id.
func (a asked) matches(t *testing.T, e *engine) []int {
	tx := e.NewTransaction()
	defer tx.Close()
	tx.ProcessConnection("203.0.113.9", 4711, "", 0)
	method := "GET"
	if a.body != "" {
		method = "POST"
		tx.AddRequestHeader("Content-Type", a.contentType)
		tx.AddRequestHeader("Content-Length", fmt.Sprint(len(a.body)))
	}
	tx.ProcessURI(a.uri, method, "HTTP/1.1")
	tx.AddRequestHeader("Host", "a.home.example")
	for name, value := range a.headers {
		tx.AddRequestHeader(name, value)
	}
	tx.ProcessRequestHeaders()
	if a.body != "" {
		if _, _, err := tx.WriteRequestBody([]byte(a.body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		t.Fatal(err)
	}
	var ids []int
	for _, m := range tx.MatchedRules() {
		if id := m.Rule().ID(); id != 980170 && id != 949110 { // they say the sum
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// somewhere puts a text where rules look for it.
func somewhere(text string, r *rand.Rand) asked {
	object, _ := json.Marshal(map[string]string{"honest": "by the sea", "note": text, text: "1"})
	return []asked{
		{uri: "/search?q=" + url.QueryEscape(text) + "&page=2"},
		{uri: "/search?q=" + strings.NewReplacer(" ", "+", "\x00", "", "\n", "").Replace(text)},
		{uri: "/" + url.PathEscape(text) + "/x?" + url.QueryEscape(text) + "=1"},
		{uri: "/api", contentType: "application/json", body: string(object)},
		{uri: "/form", contentType: "application/x-www-form-urlencoded", body: "a=b&c=" + url.QueryEscape(text)},
		{uri: "/soap", contentType: "text/xml", body: "<a><b c=\"x\">" + html.EscapeString(text) + "</b></a>"},
		{uri: "/", headers: map[string]string{"User-Agent": text, "Referer": "https://a.example/" + text, "X-Note": text}},
		{uri: "/", headers: map[string]string{"Cookie": "theme=dark; note=" + url.QueryEscape(text)}},
	}[r.IntN(8)]
}

// disguises are encodings that the rules' transformations undo.
var disguises = []func(string) string{
	func(s string) string { return s },
	strings.ToUpper,
	url.QueryEscape,
	html.EscapeString,
	func(s string) string { return each(s, `\x%02x`) },
	func(s string) string { return each(s, `\u%04x`) },
	func(s string) string { return each(s, `%%u%04x`) },
	func(s string) string { return each(s, "&#%d;") },
	func(s string) string {
		return strings.NewReplacer("k", "\u212a", "i", "\u0130", "s", "\u017f").Replace(s)
	},
	func(s string) string { return strings.ReplaceAll(s, " ", "/**/") },
	func(s string) string { return strings.ReplaceAll(s, " ", "\t,;") },
	func(s string) string {
		return strings.Map(func(r rune) rune {
			if r > ' ' && r < 0x7f {
				return r + 0xfee0 // full width
			}
			return r
		}, s)
	},
	func(s string) string { return strings.Join(strings.Split(s, ""), `\`) },
	func(s string) string { return "grüße \xff " + s },
}

func each(s, format string) string {
	var to strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&to, format, s[i])
	}
	return to.String()
}

func suiteLines(t *testing.T, r *rand.Rand, of int) (lines []string) {
	err := fs.WalkDir(tests.FS, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := fs.ReadFile(tests.FS, path)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); len(line) > 0 && len(line) < 300 && r.IntN(of) == 0 {
				lines = append(lines, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// ING-2: an engine that takes rules away beforehand finds what the plain one finds, in requests made of what the rules
// look for, disguised or not, and of the rule set's own suite.
func TestNarrowingChangesNoVerdict(t *testing.T) {
	text := strict(t)
	_, narrowed, err := loadEngine(text)
	if err != nil {
		t.Fatal(err)
	}
	_, plain, err := loadEngine(text + "\n# SecRuleUpdate: not narrowed\n")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(2, 3))
	texts := suiteLines(t, r, 120)
	for _, pattern := range patterns(t) {
		parsed, err := syntax.Parse("(?sm)"+pattern, syntax.Perl)
		if err != nil {
			continue
		}
		var made strings.Builder
		if write(&made, parsed, r); made.Len() < 2000 {
			texts = append(texts, made.String())
		}
	}
	met := map[int]bool{}
	for _, text := range texts {
		a := somewhere(disguises[r.IntN(len(disguises))](text), r)
		want, got := a.matches(t, plain), a.matches(t, narrowed)
		if !slices.Equal(want, got) {
			t.Fatalf("%+v\nplain    %v\nnarrowed %v", a, want, got)
		}
		for _, id := range want {
			met[id] = true
		}
	}
	if len(met) < 150 {
		t.Errorf("%d texts met only %d rules: that proves little", len(texts), len(met))
	}
}

// observed makes an engine that is told of every rule.
func observed(t *testing.T, text string, observe func(types.RuleMetadata)) coraza.WAF {
	config := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig().WithRootFS(crs.FS), observe)
	waf, err := coraza.NewWAF(config.WithDirectives(text))
	if err != nil {
		t.Fatal(err)
	}
	return waf
}

// What narrowing reads of the rules is what the engine reads: every pattern is one that the engine compiled, no file of
// the rule set gives a rule a target after it was read, and most rules are read at all.
func TestNarrowingReadsTheRulesAsTheEngineDoes(t *testing.T) {
	compiled := map[string]bool{}
	plugins.RegisterOperator("rx", func(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		compiled[o.Arguments] = true
		return newRx(o)
	})
	defer plugins.RegisterOperator("rx", newRx)
	n := &narrowing{asks: map[types.RulePhase][]ask{}}
	var read []string
	observed(t, strict(t), func(rule types.RuleMetadata) {
		before := len(n.asks[1]) + len(n.asks[2])
		if n.add(rule); len(n.asks[1])+len(n.asks[2]) > before {
			first, _, _ := strings.Cut(rule.Raw(), " \n")
			read = append(read, strings.ReplaceAll(narrowable.FindStringSubmatch(first)[2], `\"`, `"`))
		}
	})
	for _, pattern := range read {
		if !compiled[pattern] {
			t.Errorf("the engine compiled another pattern than %.80s", pattern)
		}
	}
	if len(read) < 150 || len(n.asks[1]) == 0 {
		t.Errorf("only %d rules are narrowed", len(read))
	}
	err := fs.WalkDir(crs.FS, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".conf") {
			return err
		}
		text, err := fs.ReadFile(crs.FS, path)
		for line := range strings.Lines(string(text)) {
			if updates.MatchString(line) && !strings.HasPrefix(line, "#") && !onlyLess.MatchString(line) {
				t.Errorf("%s: %s", path, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// onlyLess is a directive after which a rule looks at less than before.
var onlyLess = regexp.MustCompile(`^SecRuleUpdateTargetById [0-9]+ "?![^|]*$`)

func TestAPolicyThatChangesRulesIsNotNarrowed(t *testing.T) {
	text := strict(t) + "\nSecRuleUpdateTargetById 942100 \"REQUEST_METHOD\"\n"
	if narrowed, _, done := narrow(text); narrowed != text {
		done()
		t.Error("narrowed: a rule could look at more than was read of it")
	}
}

// removals counts the rules that a narrowing takes away.
type removals struct {
	plugintypes.TransactionState
	ids map[int]bool
}

func (c *removals) RemoveRuleByID(id int)                                                  { c.ids[id] = true }
func (*removals) RemoveRuleTargetByID(int, variables.RuleVariable, string, *regexp.Regexp) {}

func TestNarrowingTakesAwayWhatCannotMatch(t *testing.T) {
	text, n, done := narrow(strict(t))
	defer done()
	waf := observed(t, text, n.add)
	removed := func(uri string) int {
		tx := waf.NewTransaction()
		defer tx.Close()
		tx.ProcessURI(uri, "GET", "HTTP/1.1")
		state, ok := tx.(plugintypes.TransactionState)
		if !ok {
			t.Fatal("a transaction shows its state to no plug-in")
		}
		c := &removals{state, map[int]bool{}}
		n.remove(c, 2)
		return len(c.ids)
	}
	honest := removed("/photos/2026?page=2&sort=date")
	hostile := removed("/?q=%27%20or%201%3D1%20union%20select%20%24%28cat%20%2Fetc%2Fpasswd%29%3Cscript%3Ealert%281%29%3B%7B%7D%5B%5D%60%7C%26%22%5C%25%5E%7E")
	if honest < 120 || hostile >= honest/2 {
		t.Errorf("an honest request is spared %d rules, a hostile one %d", honest, hostile)
	}
}

// shown hands a test what a rule's transformations made of a value.
type shown struct{ to func(value string) }

func (o shown) Evaluate(_ plugintypes.TransactionState, value string) bool {
	o.to(value)
	return false
}

// ING-2: what a chain says of the bytes that a transformation leaves is never too little.
func TestAChainForeseesWhatItsTransformationMakes(t *testing.T) {
	made := map[string]string{}
	plugins.RegisterOperator("argos_shown", func(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		return shown{func(value string) { made[o.Arguments] = value }}, nil
	})
	text := "SecRuleEngine On\n"
	for name := range transformations {
		text += fmt.Sprintf("SecRule REQUEST_HEADERS:X-Note \"@argos_shown %s\" \"id:%d,phase:1,pass,nolog,t:none,t:%s\"\n", name, 1000+len(text), name)
	}
	waf := observed(t, text, func(types.RuleMetadata) {})
	pieces := []string{"a", "K", "\u212a", "\u0130", "\u023a", "é", "\xff", "\xa0", "\u0085", "\u00a0", " ", "+", "%41", "%u0041", "%", "&#65;", "&lt;", "&", `\x41`, `\`,
		`\41`, "/*", "*/", "--", "#", "\t", "\n", "\v", ",", ";", "^", `"`, "'", "../", "/", ".", "C:", "\x00", "ｆ"}
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var value strings.Builder
		for range 1 + r.IntN(6) {
			value.WriteString(pieces[r.IntN(len(pieces))])
		}
		tx := waf.NewTransaction()
		tx.ProcessURI("/", "GET", "HTTP/1.1")
		tx.AddRequestHeader("X-Note", value.String())
		tx.ProcessRequestHeaders()
		_ = tx.Close()
		for name, c := range transformations {
			foreseen, is := c.of(summaryOf(value.String())), summaryOf(made[name])
			if is.length > foreseen.length {
				t.Fatalf("%s(%q): %q is longer than %d", name, value.String(), made[name], foreseen.length)
			}
			for i := range is.held {
				if is.held[i]&^foreseen.held[i] != 0 {
					t.Fatalf("%s(%q): a byte of %q was not foreseen", name, value.String(), made[name])
				}
			}
		}
	}
	if len(made) != len(transformations) {
		t.Errorf("%d of %d transformations ran", len(made), len(transformations))
	}
}
