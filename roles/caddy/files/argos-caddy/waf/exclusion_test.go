package waf

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const sqli = "1' UNION SELECT username, password FROM users-- -"

// ING-2: an exclusion spares what it names, where and when it names it, and nothing beside.
func TestAnExclusionSparesExactlyWhatItNames(t *testing.T) {
	query := "?q=" + url.QueryEscape(sqli)
	get := func(target string) func(*edge) *http.Response {
		return func(e *edge) *http.Response { return e.send(t, "GET", target, "", nil) }
	}
	post := func(contentType, body string) func(*edge) *http.Response {
		return func(e *edge) *http.Response { return e.send(t, "POST", "/api/x", contentType, strings.NewReader(body)) }
	}
	for name, c := range map[string]struct {
		own  Exclusion
		send func(*edge) *http.Response
		want int
	}{
		"tag":                      {Exclusion{Tag: "attack-sqli"}, get("/" + query), 200},
		"another tag":              {Exclusion{Tag: "attack-xss"}, get("/" + query), 403},
		"range":                    {Exclusion{ID: 942000, Last: 942999}, get("/" + query), 200},
		"one id of several":        {Exclusion{ID: 942100}, get("/" + query), 403},
		"path":                     {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/api/x" + query), 200},
		"whole path":               {Exclusion{Tag: "attack-sqli", Path: "/api/x"}, get("/api/x" + query), 200},
		"below a whole path":       {Exclusion{Tag: "attack-sqli", Path: "/api/x"}, get("/api/x/y" + query), 403},
		"another path":             {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/apis" + query), 403},
		"climbing out":             {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/api/../x" + query), 403},
		"climbing out, encoded":    {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/api/%2e%2e/x" + query), 403},
		"climbing out, Tomcat's":   {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/api/..;/x" + query), 403},
		"climbing out, backslash":  {Exclusion{Tag: "attack-sqli", Path: "/api/*"}, get("/api/..%5cx" + query), 403},
		"method":                   {Exclusion{Tag: "attack-sqli", Methods: []string{"GET"}}, get("/" + query), 200},
		"another method":           {Exclusion{Tag: "attack-sqli", Methods: []string{"POST"}}, get("/" + query), 403},
		"parameter":                {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:q"}, get("/" + query), 200},
		"another parameter":        {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:p"}, get("/" + query), 403},
		"the same beside another":  {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:q"}, get("/" + query + "&p=" + url.QueryEscape(sqli)), 403},
		"form's parameter":         {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:q"}, post("application/x-www-form-urlencoded", attackForm), 200},
		"query's, in a form":       {Exclusion{Tag: "attack-sqli", Parameter: "REQUEST_COOKIES:q"}, post("application/x-www-form-urlencoded", attackForm), 403},
		"the body's":               {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST:q"}, post("application/x-www-form-urlencoded", attackForm), 200},
		"the body's, in the query": {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST:q"}, get("/" + query), 403},
		"the body's, in both": {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST:q"}, func(e *edge) *http.Response {
			return e.send(t, "POST", "/"+query, "application/x-www-form-urlencoded", strings.NewReader("q=1"))
		}, 403},
		"the body's, disguised": {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST:q"}, get("/?%51=" + url.QueryEscape(sqli)), 403},
		"all of the body's":     {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST"}, get("/" + query), 403},
		"the body's, beside a query": {Exclusion{Tag: "attack-sqli", Parameter: "ARGS_POST:q"}, func(e *edge) *http.Response {
			return e.send(t, "POST", "/?page=2", "application/x-www-form-urlencoded", strings.NewReader(attackForm))
		}, 200},
		"JSON's, by index":          {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:json.rows.*.q"}, post("application/json", `{"rows": [{"q": "a"}, {"q": "`+sqli+`"}]}`), 200},
		"JSON's, one step too deep": {Exclusion{Tag: "attack-sqli", Parameter: "ARGS:json.*.q"}, post("application/json", `{"rows": [{"q": "`+sqli+`"}]}`), 403},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, "On", nil, func(s *setup) { s.Own = []Exclusion{c.own} })
			if got := c.send(e).StatusCode; got != c.want {
				t.Errorf("the host's own: %d, want %d", got, c.want)
			}
			e = serve(t, "On", nil, func(s *setup) { s.Exclusions = []Exclusion{c.own} })
			if got := c.send(e).StatusCode; got != c.want {
				t.Errorf("the policy's: %d, want %d", got, c.want)
			}
		})
	}
}

func TestAHostsExclusionIsNotAnothers(t *testing.T) {
	app, one, err := attached(t, &setup{Policy: Policy{Rules: policy(t, "On")}, Own: []Exclusion{{Tag: "attack-sqli"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Cleanup()
	other := &Handler{Policy: "default", HostID: "notes.home.example", log: one.log}
	if err := other.attach(app); err != nil {
		t.Fatal(err)
	}
	if one.engine != other.engine {
		t.Error("the exclusion costs an engine of its own")
	}
	for h, want := range map[*Handler]int{one: 200, other: 403} {
		s := &edge{Server: newServer(t, h)}
		if got := s.send(t, "GET", "/?q="+url.QueryEscape(sqli), "", nil).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", h.HostID, got, want)
		}
	}
}

func TestAnExclusionOfNothingIsRefused(t *testing.T) {
	for want, x := range map[string]Exclusion{
		"no rule has the id 999999":               {ID: 999999},
		"no rule has the id 949110":               {ID: 949110}, // the verdict itself
		"no rule has the id 942011":               {ID: 942011}, // a level's own skip
		"no rule has an id from 100000 to 199999": {ID: 100000, Last: 199999},
		`no rule has the tag "attack-sql"`:        {Tag: "attack-sql"},
		`no rule has the tag ""`:                  {},
		`"ARG" is no parameter`:                   {ID: 942100, Parameter: "ARG:q"},
		"does not begin with a slash":             {ID: 942100, Path: "api"},
	} {
		for _, s := range []*setup{{Own: []Exclusion{x}}, {Policy: Policy{Exclusions: []Exclusion{x}}}} {
			s.Rules = policy(t, "On")
			app, _, err := attached(t, s)
			if err == nil || (want != `no rule has the tag ""` && !strings.Contains(err.Error(), want)) {
				t.Errorf("%+v: %v, want %s", x, err, want)
			}
			_ = app.Cleanup()
		}
	}
}

// An operator's own rule needs no message to be excluded; what chooses how a body is parsed cannot be.
func TestARuleWithoutAMessageIsTheOperatorsOwnOrNotExcluded(t *testing.T) {
	rule := `SecRule ARGS:magic "@streq boom" "id:100001,phase:2,deny,status:403"`
	for path, want := range map[string]int{"/": 403, "/api": 200} {
		e := serve(t, "On", nil, func(s *setup) {
			s.Rules += "\n" + rule
			s.Own = []Exclusion{{ID: 100001, Path: "/api"}}
		})
		if got := e.send(t, "GET", path+"?magic=boom", "", nil).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	for _, id := range []int{200000, 200001, 900990} {
		if _, _, err := attached(t, &setup{Policy: Policy{Rules: policy(t, "On")}, Own: []Exclusion{{ID: id}}}); err == nil {
			t.Errorf("%d, which finds nothing, was excluded", id)
		}
	}
}
