package waf

import (
	"math"
	"strings"
)

// summary is what a filter asks of a value: its length, and which bytes it holds.
type summary struct {
	length int
	held   bytesOf
}

func summaryOf(value string) summary {
	s := summary{length: len(value)}
	for i := range len(value) {
		s.held.add(value[i])
	}
	return s
}

var anything = summary{math.MaxInt32, bytesOf{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}

// chain is what a rule's transformations may make of a value's bytes: never less than they do.
type chain struct {
	wild   bytesOf // with one of these the result may be anything
	blanks bytesOf // with one of these it may hold a blank
	folds  bool    // capitals become small
	runes  bool    // strings.Map, or strings.ToLower: it may change what is not ASCII
	paths  bool    // a cleaned path
}

func (c *chain) of(s summary) summary {
	if s.held.meets(&c.wild) {
		return anything
	}
	if s.held.meets(&c.blanks) {
		s.held.add(' ')
	}
	if c.paths {
		s.held.add('/')
		s.held.add('.')
		s.length++
	}
	if c.folds {
		const capitals = (1<<26 - 1) << ('A' & 63)
		s.held[1] |= s.held[1] & capitals << ('a' - 'A')
	}
	if c.runes && s.held[2]|s.held[3] != 0 { // U+0130 and U+212A become ASCII; others, and what is no UTF-8, grow
		s.held.addNonASCII()
		s.held.add('i')
		s.held.add('k')
		s.length *= 3
	}
	return s
}

func these(chars string) (s bytesOf) {
	for i := range len(chars) {
		s.add(chars[i])
	}
	return s
}

func nonASCII() (s bytesOf) {
	s.addNonASCII()
	return s
}

// blank holds what compressWhitespace makes a blank of; a no-break space and U+0085 are not ASCII.
var blank = these("\t\n\v\f\r\x85\xa0")

// transformations by their names in small letters. One that is not here, such as base64Decode, keeps its rules.
var transformations = map[string]chain{
	"none":               {},
	"lowercase":          {folds: true, runes: true},
	"urldecodeuni":       {wild: these("%"), blanks: these("+")},
	"urldecode":          {wild: these("%"), blanks: these("+")},
	"htmlentitydecode":   {wild: these("&")},
	"jsdecode":           {wild: these(`\`)},
	"cssdecode":          {wild: these(`\`)},
	"escapeseqdecode":    {wild: these(`\`)},
	"utf8tounicode":      {wild: nonASCII()},
	"removenulls":        {},
	"removewhitespace":   {runes: true},
	"removecommentschar": {},
	"replacecomments":    {blanks: these("*")},
	"compresswhitespace": {blanks: blank},
	"cmdline":            {blanks: these(",;\t\r\n"), folds: true},
	"normalizepath":      {paths: true},
	"normalisepath":      {paths: true},
	"normalizepathwin":   {paths: true},
	"normalisepathwin":   {paths: true},
}

// chainOf joins the transformations that a rule's actions name. They must say t:none, or defaults would come on top.
func chainOf(actions string) (chain, bool) {
	var joined chain
	names := strings.Split(actions, ",")
	none := false
	for _, action := range names {
		name, ok := strings.CutPrefix(strings.TrimSpace(action), "t:")
		if !ok {
			continue
		}
		c, known := transformations[strings.ToLower(name)]
		if !known {
			return chain{}, false
		}
		none = none || strings.EqualFold(name, "none")
		joined.wild.join(&c.wild)
		joined.blanks.join(&c.blanks)
		joined.folds = joined.folds || c.folds
		joined.runes = joined.runes || c.runes
		joined.paths = joined.paths || c.paths
	}
	return joined, none
}
