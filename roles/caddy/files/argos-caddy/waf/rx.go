package waf

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"rsc.io/binaryregexp"
)

// The rule set asks hundreds of regular expressions of every value, and honest values match none: most of the time of an
// inspection goes there. This operator is Coraza's own @rx behind a test that costs nanoseconds: a value that lacks a
// byte which every match must hold cannot match. A verdict never changes (TestTheFilterNeverHidesAMatch).
func init() { plugins.RegisterOperator("rx", newRx) }

type rx struct {
	re     *regexp.Regexp
	filter *filter // nil: any value may match
}

func newRx(options plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	pattern := "(?sm)" + options.Arguments // as Coraza's own
	if matchesArbitraryBytes(options.Arguments) {
		compiled, err := remembered(options.Memoizer, "argos-binary-rx:"+options.Arguments, func() (any, error) {
			return binaryregexp.Compile(options.Arguments)
		})
		if err != nil {
			return nil, err
		}
		return &binaryRx{compiled.(*binaryregexp.Regexp)}, nil
	}
	compiled, err := remembered(options.Memoizer, "argos-rx:"+pattern, func() (any, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return &rx{re, filterOfPattern(options.Arguments)}, nil
	})
	if err != nil {
		return nil, err
	}
	return compiled.(*rx), nil
}

func remembered(m plugintypes.Memoizer, key string, compile func() (any, error)) (any, error) {
	if m == nil {
		return compile()
	}
	return m.Do(key, compile)
}

// Evaluate matches value, and gives the transaction the groups it captures.
func (o *rx) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if !o.filter.mayMatch(value) {
		return false
	}
	if !tx.Capturing() {
		return o.re.MatchString(value)
	}
	found := o.re.FindStringSubmatchIndex(value)
	for i := 0; i < len(found)/2 && i < 9; i++ {
		if found[2*i] < 0 {
			tx.CaptureField(i, "")
			continue
		}
		tx.CaptureField(i, value[found[2*i]:found[2*i+1]])
	}
	return found != nil
}

// binaryRx matches bytes that are no UTF-8; few rules ask for it.
type binaryRx struct{ re *binaryregexp.Regexp }

// Evaluate is rx's.
func (o *binaryRx) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if !tx.Capturing() {
		return o.re.MatchString(value)
	}
	found := o.re.FindStringSubmatch(value)
	for i := 0; i < len(found) && i < 9; i++ {
		tx.CaptureField(i, found[i])
	}
	return len(found) > 0
}

// matchesArbitraryBytes tells, as Coraza does, whether a pattern escapes bytes that are no UTF-8.
func matchesArbitraryBytes(expr string) bool {
	decoded := make([]byte, 0, len(expr))
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		if c != '\\' {
			decoded = append(decoded, c)
			continue
		}
		if i+3 >= len(expr) {
			decoded = append(decoded, expr[i:]...)
			break
		}
		if expr[i+1] != 'x' {
			decoded = append(decoded, expr[i])
			continue
		}

		// Handle braced hex escapes like \x{bc} by converting to the
		// unbraced form \xbc so strconv.UnquoteChar can parse them.
		sub := expr[i:]
		advance := 3 // default for \xNN (4 chars total, skip 3 extra)
		if len(sub) >= 6 && sub[2] == '{' {
			if end := strings.IndexByte(sub, '}'); end != -1 {
				sub = `\x` + sub[3:end]
				advance = end
			}
		}

		v, mb, _, err := strconv.UnquoteChar(sub, 0)
		if err != nil || mb {
			decoded = append(decoded, expr[i])
			continue
		}

		decoded = append(decoded, byte(v))
		i += advance
	}

	return !utf8.Valid(decoded)
}
