package waf

import (
	"math/bits"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
)

// bytesOf is a set of byte values.
type bytesOf [4]uint64

func (s *bytesOf) add(b byte)            { s[b>>6] |= 1 << (b & 63) }
func (s *bytesOf) meets(o *bytesOf) bool { return s[0]&o[0]|s[1]&o[1]|s[2]&o[2]|s[3]&o[3] != 0 }
func (s *bytesOf) join(o *bytesOf) {
	for i := range s {
		s[i] |= o[i]
	}
}

// addNonASCII adds every byte of a rune beyond ASCII, and of what is no UTF-8, which regexp reads as U+FFFD.
func (s *bytesOf) addNonASCII() { s[2], s[3] = ^uint64(0), ^uint64(0) }

// filter is what every match of a pattern needs: at least so many bytes, one byte out of each set, and of each list of
// alternatives one that the value meets as well.
type filter struct {
	length int
	needs  []bytesOf
	anyOf  [][]filter
}

// mayMatch is true of every value where there is no filter.
func (f *filter) mayMatch(value string) bool {
	if f == nil {
		return true
	}
	if len(value) < f.length {
		return false
	}
	if len(f.needs) == 0 && len(f.anyOf) == 0 {
		return true
	}
	var held bytesOf
	for i := range len(value) {
		held.add(value[i])
	}
	return f.meets(len(value), &held)
}

func (f *filter) meets(length int, held *bytesOf) bool {
	if length < f.length {
		return false
	}
	for i := range f.needs {
		if !f.needs[i].meets(held) {
			return false
		}
	}
	for _, alternatives := range f.anyOf {
		if !slices.ContainsFunc(alternatives, func(a filter) bool { return a.meets(length, held) }) {
			return false
		}
	}
	return true
}

// meetsAnything tells of a filter that refuses nothing.
func (f *filter) meetsAnything() bool { return f.length == 0 && len(f.needs) == 0 && len(f.anyOf) == 0 }

// filters are shared by all engines, as each has the same rule set, and by what narrows and what matches. Bounded: an
// operator's own rules bring patterns too.
var filters = struct {
	sync.Mutex
	of map[string]*filter
}{of: map[string]*filter{}}

const mostFilters = 2000

// filterOfPattern returns nil for a pattern whose matches need nothing, or that cannot be told.
func filterOfPattern(pattern string) *filter {
	filters.Lock()
	defer filters.Unlock()
	f, known := filters.of[pattern]
	if !known {
		f = readFilter(pattern)
		if len(filters.of) < mostFilters {
			filters.of[pattern] = f
		}
	}
	return f
}

func readFilter(pattern string) *filter {
	if matchesArbitraryBytes(pattern) {
		return nil
	}
	parsed, err := syntax.Parse("(?sm)"+pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	f := filterOf(parsed)
	if f.meetsAnything() {
		return nil
	}
	return &f
}

const (
	mostNeeds = 8
	mostNodes = 400 // of a pattern's alternatives in all: each costs a few ns for a value
)

// filterOf reads off a pattern what its matches need.
func filterOf(re *syntax.Regexp) filter {
	nodes := mostNodes
	return nodeOf(re, &nodes)
}

func nodeOf(re *syntax.Regexp, nodes *int) filter {
	*nodes--
	needs := needsOf(re)
	rarestFirst(needs)
	f := filter{length: leastLength(re), needs: needs[:min(len(needs), mostNeeds)]}
	f.branch(re, nodes)
	return f
}

// branch adds the alternatives that stand where a match must pass.
func (f *filter) branch(re *syntax.Regexp, nodes *int) {
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		f.branch(re.Sub[0], nodes)
	case syntax.OpRepeat:
		if re.Min > 0 {
			f.branch(re.Sub[0], nodes)
		}
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			f.branch(sub, nodes)
		}
	case syntax.OpAlternate:
		if *nodes < len(re.Sub) {
			return
		}
		alternatives := make([]filter, len(re.Sub))
		for i, sub := range re.Sub {
			alternatives[i] = nodeOf(sub, nodes)
			if alternatives[i].meetsAnything() {
				return
			}
		}
		f.anyOf = append(f.anyOf, alternatives)
	}
}

// Bytes that nearly every honest value holds, and those that many do.
var frequent, usual = ofBytes("abcdefghijklmnopqrstuvwxyz "), ofBytes("0123456789.-_/ABCDEFGHIJKLMNOPQRSTUVWXYZ")

func ofBytes(listed string) (s bytesOf) {
	for i := range len(listed) {
		s.add(listed[i])
	}
	return s
}

// commonness orders sets by how likely an honest value holds one of their ASCII bytes. Compiling a policy asks for it
// some ten thousand times.
func (s *bytesOf) commonness() int {
	n := 0
	for i := range 2 {
		n += 16*bits.OnesCount64(s[i]&frequent[i]) + 6*bits.OnesCount64(s[i]&usual[i]) +
			bits.OnesCount64(s[i]&^frequent[i]&^usual[i])
	}
	return n
}

func rarestFirst(needs []bytesOf) {
	slices.SortStableFunc(needs, func(a, b bytesOf) int { return a.commonness() - b.commonness() })
}

// needsOf returns sets of which every match holds a byte each.
func needsOf(re *syntax.Regexp) []bytesOf {
	switch re.Op {
	case syntax.OpLiteral:
		needs := make([]bytesOf, 0, len(re.Rune))
		for _, r := range re.Rune {
			needs = appendNew(needs, ofRune(r, re.Flags&syntax.FoldCase != 0))
		}
		return needs
	case syntax.OpCharClass:
		return []bytesOf{ofClass(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return needsOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needsOf(re.Sub[0])
		}
	case syntax.OpConcat:
		var needs []bytesOf
		for _, sub := range re.Sub {
			needs = appendNew(needs, needsOf(sub)...)
		}
		return needs
	case syntax.OpAlternate:
		return ofAny(re.Sub)
	}
	return nil // anchors, and what may be empty or anything
}

// ofAny joins one need of each alternative, the rarest with the rarest and so on: a match of any alternative meets it.
func ofAny(alternatives []*syntax.Regexp) []bytesOf {
	var joined []bytesOf
	for i, sub := range alternatives {
		needs := needsOf(sub)
		if len(needs) == 0 {
			return nil
		}
		rarestFirst(needs)
		if i == 0 {
			joined = slices.Clone(needs[:min(len(needs), mostNeeds)])
			continue
		}
		for k := range joined {
			joined[k].join(&needs[min(k, len(needs)-1)])
		}
	}
	return joined
}

func appendNew(needs []bytesOf, more ...bytesOf) []bytesOf {
	for _, s := range more {
		if !slices.Contains(needs, s) {
			needs = append(needs, s)
		}
	}
	return needs
}

func ofRune(r rune, fold bool) bytesOf {
	var s bytesOf
	for folded := r; ; {
		if folded < 0x80 {
			s.add(byte(folded))
		} else {
			s.addNonASCII()
		}
		folded = unicode.SimpleFold(folded)
		if !fold || folded == r {
			return s
		}
	}
}

func ofClass(pairs []rune) bytesOf {
	var s bytesOf
	for i := 0; i+1 < len(pairs); i += 2 {
		for r := pairs[i]; r <= min(pairs[i+1], 0x7f); r++ {
			s.add(byte(r))
		}
		if pairs[i+1] >= 0x80 {
			s.addNonASCII()
		}
	}
	return s
}

// leastLength is the length in bytes of the shortest match: a rune has one byte at least.
func leastLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return leastLength(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * leastLength(re.Sub[0])
	case syntax.OpConcat:
		n := 0
		for _, sub := range re.Sub {
			n += leastLength(sub)
		}
		return n
	case syntax.OpAlternate:
		n := leastLength(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			n = min(n, leastLength(sub))
		}
		return n
	}
	return 0
}
