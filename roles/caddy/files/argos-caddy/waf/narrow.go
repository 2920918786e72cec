package waf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// Asking one rule of one value costs the engine half a microsecond before any expression runs: its transformations'
// cache, mostly. A JSON body of 140 fields means 40 000 such questions. So before a phase's rules run, each @rx rule of
// the rule set is held against the bytes that its targets are made of, and one that cannot match any of them is taken
// away for this transaction: it would have done nothing. A verdict never changes (TestNarrowingChangesNoVerdict).

// narrowing is what an engine's rules need of the values they look at.
type narrowing struct {
	sources []source
	asks    map[types.RulePhase][]ask
}

// source is a part of the request that rules look at; all of a collection, or one key of it.
type source struct {
	variable variables.RuleVariable
	key      string
}

// ask is a rule that may be taken away: it matches nothing that its filter refuses.
type ask struct {
	id      int
	sources []int
	chain   chain
	filter  *filter
}

// fixed are the collections that no rule changes while a phase runs.
var fixed = map[string]variables.RuleVariable{
	"ARGS": variables.Args, "ARGS_GET": variables.ArgsGet, "ARGS_POST": variables.ArgsPost,
	"ARGS_NAMES": variables.ArgsNames, "ARGS_GET_NAMES": variables.ArgsGetNames, "ARGS_POST_NAMES": variables.ArgsPostNames,
	"REQUEST_COOKIES": variables.RequestCookies, "REQUEST_COOKIES_NAMES": variables.RequestCookiesNames,
	"REQUEST_HEADERS": variables.RequestHeaders, "REQUEST_HEADERS_NAMES": variables.RequestHeadersNames,
	"REQUEST_URI": variables.RequestURI, "REQUEST_URI_RAW": variables.RequestURIRaw, "REQUEST_LINE": variables.RequestLine,
	"REQUEST_FILENAME": variables.RequestFilename, "REQUEST_BASENAME": variables.RequestBasename,
	"QUERY_STRING": variables.QueryString, "REQUEST_BODY": variables.RequestBody,
	"FILES": variables.Files, "FILES_NAMES": variables.FilesNames, "XML": variables.XML,
}

// narrowable reads a rule of the rule set: its targets, its expression, its actions. What it does not read, such as a
// negated operator, is asked as ever.
var (
	narrowable = regexp.MustCompile(`^SecRule +([^" ]+) +"@rx ((?:[^"\\]|\\.)*)" +"((?:[^"\\]|\\.)*)"$`)
	phaseOf    = regexp.MustCompile(`(?:^|,)\s*phase:([12])\s*,`)
	targetOf   = regexp.MustCompile(`^([A-Z_]+)(?::(.+))?$`)
	updates    = regexp.MustCompile(`(?i)SecRuleUpdate`)
)

// add notes a rule, if it is one that may be taken away. Only the rule set's own: their form is known.
func (n *narrowing) add(r types.RuleMetadata) {
	if r.ID() < 911_000 || r.ID() > 948_999 {
		return
	}
	first, _, _ := strings.Cut(r.Raw(), " \n") // a chain's first rule stands for all
	parts := narrowable.FindStringSubmatch(first)
	if parts == nil {
		return
	}
	phase := phaseOf.FindStringSubmatch(parts[3])
	chain, ok := chainOf(parts[3])
	if phase == nil || !ok {
		return
	}
	f := filterOfPattern(strings.ReplaceAll(parts[2], `\"`, `"`))
	if f == nil {
		return
	}
	a := ask{id: r.ID(), chain: chain, filter: f}
	for _, target := range strings.Split(parts[1], "|") {
		if strings.HasPrefix(target, "!") {
			continue // less to look at
		}
		read := targetOf.FindStringSubmatch(target)
		if read == nil {
			return
		}
		variable, ok := fixed[read[1]]
		if !ok {
			return
		}
		key := read[2]
		if strings.HasPrefix(key, "/") || strings.HasPrefix(key, "'") {
			key = "" // a pattern or an XPath: all of the collection holds it
		}
		a.sources = append(a.sources, n.source(source{variable, key}))
	}
	p, _ := strconv.Atoi(phase[1])
	n.asks[types.RulePhase(p)] = append(n.asks[types.RulePhase(p)], a)
}

func (n *narrowing) source(s source) int {
	for i := range n.sources {
		if n.sources[i] == s {
			return i
		}
	}
	n.sources = append(n.sources, s)
	return len(n.sources) - 1
}

// looked is what one source holds in this request, and all of it together.
type looked struct {
	read   bool
	values []summary
	all    summary
}

var scratch = sync.Pool{New: func() any { return new([]looked) }}

// remove takes away the rules of a phase that cannot match.
func (n *narrowing) remove(tx plugintypes.TransactionState, phase types.RulePhase) {
	removing, ok := tx.(excluding)
	if !ok {
		return
	}
	held := scratch.Get().(*[]looked)
	defer scratch.Put(held)
	for len(*held) < len(n.sources) {
		*held = append(*held, looked{})
	}
	for i := range *held {
		(*held)[i].read = false
	}
	for i := range n.asks[phase] {
		if a := &n.asks[phase][i]; !a.mayMatch(tx, n.sources, *held) {
			removing.RemoveRuleByID(a.id)
		}
	}
}

func (a *ask) mayMatch(tx plugintypes.TransactionState, sources []source, held []looked) bool {
	for _, i := range a.sources {
		l := &held[i]
		if !l.read {
			l.look(tx, sources[i])
		}
		if len(l.values) == 0 {
			continue
		}
		if all := a.chain.of(l.all); !a.filter.meets(all.length, &all.held) {
			continue
		}
		for _, v := range l.values {
			if v = a.chain.of(v); a.filter.meets(v.length, &v.held) {
				return true
			}
		}
	}
	return false
}

func (l *looked) look(tx plugintypes.TransactionState, s source) {
	*l = looked{read: true, values: l.values[:0]}
	for _, found := range find(tx, s) {
		v := summaryOf(found.Value())
		l.values = append(l.values, v)
		l.all.length = max(l.all.length, v.length)
		l.all.held.join(&v.held)
	}
}

func find(tx plugintypes.TransactionState, s source) []types.MatchData {
	collected := tx.Collection(s.variable)
	if keyed, ok := collected.(interface {
		FindString(key string) []types.MatchData
	}); ok && s.key != "" {
		return keyed.FindString(s.key)
	}
	return collected.FindAll()
}

// narrowRule is the first of its phase, so that everything is there that the phase's other rules look at. The engine makes
// its operator while it reads the policy's text, so a number leads it to its narrowing.
const narrowRule = "SecRule REQUEST_METHOD \"@argos_narrow %d %d\" \"id:%d,phase:%d,pass,nolog,t:none\"\n"

var (
	narrowings sync.Map // number → *narrowing, while an engine is made
	lastNumber atomic.Int64
)

func init() { plugins.RegisterOperator("argos_narrow", newNarrow) }

// narrow puts the narrowing in front of a policy's text; its rules are added as they are read, and done ends that. A text
// that changes rules after they were read is left alone: they may look at more than they said.
func narrow(text string) (narrowed string, n *narrowing, done func()) {
	n = &narrowing{asks: map[types.RulePhase][]ask{}}
	if updates.MatchString(text) {
		return text, n, func() {}
	}
	number := lastNumber.Add(1)
	narrowings.Store(number, n)
	for _, phase := range []int{1, 2} {
		narrowed += fmt.Sprintf(narrowRule, number, phase, 10_005+phase, phase)
	}
	return narrowed + text, n, func() { narrowings.Delete(number) }
}

type narrowOperator struct {
	*narrowing
	phase types.RulePhase
}

func newNarrow(options plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	var number int64
	var phase types.RulePhase
	if _, err := fmt.Sscanf(options.Arguments, "%d %d", &number, &phase); err != nil {
		return nil, err
	}
	n, ok := narrowings.Load(number)
	if !ok {
		return nil, fmt.Errorf("argos_narrow is no operator for a policy")
	}
	return &narrowOperator{n.(*narrowing), phase}, nil
}

// Evaluate takes away what cannot match, and matches nothing itself.
func (o *narrowOperator) Evaluate(tx plugintypes.TransactionState, _ string) bool {
	o.remove(tx, o.phase)
	return false
}
