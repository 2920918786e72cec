package waf

import (
	"io/fs"
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"

	crs "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

var rxArgument = regexp.MustCompile(`"!?@rx ((?:[^"\\]|\\.)*)"`)

// patterns are all of the rule set's, and some of our own that try the reading of them.
func patterns(t *testing.T) []string {
	found := []string{`(?i)K|ſ`, `a{2,3}(?:b|[^c])`, `(?:x|)y`, `^$`, `[^\x00-\x{10ffff}]|z`, `\d+\.\pL`, `(?:ab?|c*)d`}
	err := fs.WalkDir(crs.FS, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".conf") {
			return err
		}
		text, err := fs.ReadFile(crs.FS, path)
		for _, m := range rxArgument.FindAllStringSubmatch(string(text), -1) {
			found = append(found, strings.ReplaceAll(m[1], `\"`, `"`))
		}
		return err
	})
	if err != nil || len(found) < 200 {
		t.Fatalf("%d patterns: %v", len(found), err)
	}
	return found
}

// ING-2: the filter says no only where the pattern does. Each pattern is asked of strings made to match it, and of the
// lines of the rule set's own suite.
func TestTheFilterNeverHidesAMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	var lines []string
	for _, line := range suiteLines(t, r, 40) {
		lines = append(lines, line, "\xff"+line+"\xc3")
	}
	matched, refused := 0, 0
	for _, pattern := range patterns(t) {
		if matchesArbitraryBytes(pattern) {
			continue
		}
		re := regexp.MustCompile("(?sm)" + pattern)
		parsed, _ := syntax.Parse("(?sm)"+pattern, syntax.Perl)
		f := filterOf(parsed)
		asked := make([]string, 0, 100)
		for range 50 {
			var made strings.Builder
			write(&made, parsed, r)
			asked = append(asked, made.String(), lines[r.IntN(len(lines))])
		}
		for _, line := range asked {
			switch matches := re.MatchString(line); {
			case matches && !f.mayMatch(line):
				t.Fatalf("%q matches %.100s, which the filter hides", line, pattern)
			case matches:
				matched++
			case !f.mayMatch(line):
				refused++
			}
		}
	}
	if matched < 3000 || refused < 3000 {
		t.Errorf("%d matches and %d refusals prove little", matched, refused)
	}
}

// write makes a string that re mostly matches.
func write(to *strings.Builder, re *syntax.Regexp, r *rand.Rand) {
	repeat := func(low, high int) {
		for range low + r.IntN(high-low+1) {
			write(to, re.Sub[0], r)
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 && r.IntN(2) == 0 {
				c = unicode.SimpleFold(c)
			}
			to.WriteRune(c)
		}
	case syntax.OpCharClass:
		if len(re.Rune) > 0 {
			i := 2 * r.IntN(len(re.Rune)/2)
			to.WriteRune(re.Rune[i] + r.Int32N(min(re.Rune[i+1]-re.Rune[i]+1, 300)))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		to.WriteString([]string{"a", "\xff", "é", " ", "'"}[r.IntN(5)])
	case syntax.OpStar, syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpPlus:
		repeat(1, 2)
	case syntax.OpRepeat:
		repeat(re.Min, max(re.Min, min(re.Max, re.Min+2)))
	case syntax.OpCapture:
		write(to, re.Sub[0], r)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			write(to, sub, r)
		}
	case syntax.OpAlternate:
		write(to, re.Sub[r.IntN(len(re.Sub))], r)
	}
}

// Values that match nothing are what a WAF sees all day: most patterns are never run on them.
func TestTheFilterSparesHonestValues(t *testing.T) {
	run, asked := 0, 0
	for _, pattern := range patterns(t) {
		operator, err := newRx(plugintypes.OperatorOptions{Arguments: pattern})
		if err != nil {
			t.Fatal(err)
		}
		o, ok := operator.(*rx)
		if !ok {
			continue
		}
		for _, value := range []string{"value of 003", "field_003", "2026-11-23T10:00:00Z", "by the sea", "true", "alice@home.example"} {
			asked++
			if o.filter.mayMatch(value) {
				run++
			}
		}
	}
	if run*4 > asked {
		t.Errorf("%d of %d evaluations run the expression", run, asked)
	}
}
