package waf

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// Exclusion takes rules away from some requests: what ctl:ruleRemoveById and ctl:ruleRemoveTargetById do, as data. It is
// no SecLang, so that nothing can be smuggled in with it, a host's own costs no engine of its own, and other hosts do not
// evaluate it.
type Exclusion struct {
	// ID to Last are the rules' ids, both included; Last 0 means ID alone. Or Tag names them.
	ID   int    `json:"id,omitempty"`
	Last int    `json:"last,omitempty"`
	Tag  string `json:"tag,omitempty"`
	// Parameter is what the rules no longer look at, such as ARGS:q or ARGS:json.items.*.name; empty: the rules do not run.
	Parameter string `json:"parameter,omitempty"`
	// Path is where: all of it, or everything below with "/*" at its end; empty: everywhere.
	Path string `json:"path,omitempty"`
	// Methods are when; empty: always.
	Methods []string `json:"methods,omitempty"`
}

// exclusion is an Exclusion resolved against an engine's rules.
type exclusion struct {
	Exclusion
	ids       []int
	variables []variables.RuleVariable // none: the whole rule
	key       string
	keyRx     *regexp.Regexp
	posted    bool // a parameter of the body: not one of the same name in the query
}

// excluding is what Coraza's own transactions offer, though not in their public interface.
type excluding interface {
	RemoveRuleByID(id int)
	RemoveRuleTargetByID(id int, variable variables.RuleVariable, key string, keyRx *regexp.Regexp)
}

// parameters are the collections that an exclusion may name. A rule may look at a part of one under another name: most
// look at ARGS, where the query's and the body's are one.
var parameters = map[string][]variables.RuleVariable{
	"ARGS":                   {variables.Args, variables.ArgsGet, variables.ArgsPost},
	"ARGS_GET":               {variables.Args, variables.ArgsGet},
	"ARGS_POST":              {variables.Args, variables.ArgsPost},
	"ARGS_NAMES":             {variables.ArgsNames, variables.ArgsGetNames, variables.ArgsPostNames},
	"ARGS_GET_NAMES":         {variables.ArgsNames, variables.ArgsGetNames},
	"ARGS_POST_NAMES":        {variables.ArgsNames, variables.ArgsPostNames},
	"REQUEST_COOKIES":        {variables.RequestCookies},
	"REQUEST_COOKIES_NAMES":  {variables.RequestCookiesNames},
	"REQUEST_HEADERS":        {variables.RequestHeaders},
	"REQUEST_HEADERS_NAMES":  {variables.RequestHeadersNames},
	"FILES":                  {variables.Files},
	"FILES_NAMES":            {variables.FilesNames},
	"MULTIPART_PART_HEADERS": {variables.MultipartPartHeaders},
	"REQUEST_URI":            {variables.RequestURI},
	"REQUEST_URI_RAW":        {variables.RequestURIRaw},
	"REQUEST_FILENAME":       {variables.RequestFilename},
	"REQUEST_BASENAME":       {variables.RequestBasename},
	"REQUEST_LINE":           {variables.RequestLine},
	"REQUEST_BODY":           {variables.RequestBody},
	"QUERY_STRING":           {variables.QueryString},
	"XML":                    {variables.XML},
	"RESPONSE_BODY":          {variables.ResponseBody},
}

// resolve finds the rules that each exclusion means: one that means none is an error, or a slip would be taken for done.
func resolve(exclusions []Exclusion, e *engine) ([]exclusion, error) {
	if len(exclusions) == 0 {
		return nil, nil
	}
	if e.mode != "off" {
		tx := e.NewTransaction()
		defer tx.Close()
		if _, ok := tx.(excluding); !ok {
			return nil, fmt.Errorf("this engine cannot exclude rules")
		}
	}
	resolved := make([]exclusion, 0, len(exclusions))
	for _, x := range exclusions {
		r := exclusion{Exclusion: x}
		last := max(x.Last, x.ID)
		for _, rule := range e.rules {
			if x.ID > 0 && x.ID <= rule.id && rule.id <= last || x.Tag != "" && slices.Contains(rule.tags, x.Tag) {
				r.ids = append(r.ids, rule.id)
			}
		}
		if len(r.ids) == 0 {
			return nil, fmt.Errorf("exclusion: no rule has %s", x.rules())
		}
		if x.Parameter != "" {
			if err := r.target(x.Parameter); err != nil {
				return nil, err
			}
		}
		if x.Path != "" && !strings.HasPrefix(x.Path, "/") {
			return nil, fmt.Errorf("exclusion: path %q does not begin with a slash", x.Path)
		}
		resolved = append(resolved, r)
	}
	return resolved, nil
}

func (x Exclusion) rules() string {
	switch {
	case x.Tag != "":
		return fmt.Sprintf("the tag %q", x.Tag)
	case x.Last > x.ID:
		return fmt.Sprintf("an id from %d to %d", x.ID, x.Last)
	}
	return fmt.Sprintf("the id %d", x.ID)
}

// target reads COLLECTION or COLLECTION:key; a "*" in the key stands for one step of a JSON path, such as an index.
func (x *exclusion) target(parameter string) error {
	collection, key, _ := strings.Cut(parameter, ":")
	x.variables = parameters[collection]
	if x.variables == nil {
		return fmt.Errorf("exclusion: %q is no parameter", collection)
	}
	x.posted = strings.HasPrefix(collection, "ARGS_POST")
	if !strings.Contains(key, "*") {
		x.key = key
		return nil
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(key)), `\*`, `[^.]*`)
	x.keyRx = regexp.MustCompile("^" + pattern + "$")
	return nil
}

// exclude takes the rules away that this request is spared; before any rule has run.
func (in *inspection) exclude() {
	if len(in.h.excluded) == 0 {
		return
	}
	tx := in.tx.(excluding)
	for i := range in.h.excluded {
		x := &in.h.excluded[i]
		if !x.holds(in.r) {
			continue
		}
		for _, id := range x.ids {
			if x.variables == nil {
				tx.RemoveRuleByID(id)
			}
			for _, v := range x.variables {
				tx.RemoveRuleTargetByID(id, v, x.key, x.keyRx)
			}
		}
	}
}

func (x *exclusion) holds(r *http.Request) bool {
	if len(x.Methods) > 0 && !slices.Contains(x.Methods, r.Method) {
		return false
	}
	if x.posted && x.queried(r.URL.RawQuery) {
		return false
	}
	if x.Path == "" {
		return true
	}
	if !plainPath(r.URL.Path) {
		return false
	}
	if below, ok := strings.CutSuffix(x.Path, "*"); ok {
		return strings.HasPrefix(r.URL.Path, below)
	}
	return r.URL.Path == x.Path
}

// queried tells whether the query has a parameter of the exclusion's name: in ARGS it would be spared with the body's.
func (x *exclusion) queried(query string) bool {
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		switch {
		case pair == "":
			continue
		case err != nil, x.key == "" && x.keyRx == nil: // what the engine makes of it is not known; all of ARGS_POST
			return true
		case strings.EqualFold(plain, x.key), x.keyRx != nil && x.keyRx.MatchString(strings.ToLower(plain)):
			return true
		}
	}
	return false
}

// plainPath tells whether every server reads the path alike. ING-2: where one may see another path ("/api/../admin",
// "/api/..;/admin", "/api/%252e%252e/admin"), a path's exclusion does not hold.
func plainPath(p string) bool {
	if strings.ContainsAny(p, ";\\%\x00") {
		return false
	}
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}
