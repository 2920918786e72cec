package waf

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/corazawaf/coraza/v3/types"
)

const (
	maxRules = 32
	maxValue = 200
	maxURI   = 1024
	masked   = "***"
)

// event is one line of the event log.
type event struct {
	TS        string `json:"ts"`         // RFC 3339, UTC
	RequestID string `json:"request_id"` // {http.request.uuid}, as in the access log
	HostID    string `json:"host_id"`
	Policy    string `json:"policy"`
	Mode      string `json:"mode"` // block or detect
	ClientIP  string `json:"client_ip"`
	Method    string `json:"method"`
	URI       string `json:"uri"` // cut, secret-looking arguments masked
	Rules     []rule `json:"rules"`
	// WouldBlock: detect let a request pass that block would have refused.
	WouldBlock bool `json:"would_block"`
	// BlockedBy is the rule that refused the request, 0 when none did.
	BlockedBy int `json:"blocked_by"`
	// Reason is rule, body_limit, multipart, busy, engine or panic; empty when nothing was or would be refused.
	Reason string `json:"reason,omitempty"`
	// Status is what the WAF answered, 0 when it let the request pass.
	Status int `json:"status"`
}

type rule struct {
	ID       int    `json:"id"`
	Msg      string `json:"msg"`
	Severity string `json:"severity"`
	Variable string `json:"variable,omitempty"`
	Value    string `json:"value,omitempty"`
}

// detectOnly is implemented by Coraza's transactions: DetectionOnly met a disruptive rule.
type detectOnly interface{ IsDetectionOnlyInterrupted() bool }

// record queues the inspection's event, if anything matched or was refused.
func (in *inspection) record() {
	if in.h.journal == nil {
		return
	}
	e := in.event
	if !in.broken {
		e.Rules = matched(in.tx)
		if d, ok := in.tx.(detectOnly); ok && d.IsDetectionOnlyInterrupted() {
			e.WouldBlock = true
			if e.Reason == "" {
				e.Reason = "rule"
			}
		}
	}
	if len(e.Rules) == 0 && e.Reason == "" {
		return
	}
	if e.Rules == nil {
		e.Rules = []rule{}
	}
	e.TS = time.Now().UTC().Format(time.RFC3339Nano)
	e.HostID, e.Policy, e.Mode = in.h.HostID, in.h.Policy, in.h.engine.mode
	e.Method, e.URI = cut(in.r.Method, 32), cut(maskArguments(in.r.RequestURI), maxURI)
	e.ClientIP, _ = caddyhttp.GetVar(in.r.Context(), caddyhttp.ClientIPVarKey).(string)
	e.RequestID = requestID(in.r)
	in.h.journal.add(&e)
}

func requestID(r *http.Request) string {
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		id, _ := repl.GetString("http.request.uuid")
		return id
	}
	return ""
}

// matched lists what fired, without CRS's own bookkeeping (rules without a message; 901 set-up, 949, 959 and 980 sums).
func matched(tx types.Transaction) []rule {
	var rules []rule
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		if m.Message() == "" || len(rules) == maxRules {
			continue
		}
		switch id / 1000 {
		case 901, 949, 959, 980:
			continue
		}
		r := rule{ID: id, Msg: cut(m.Message(), maxValue), Severity: m.Rule().Severity().String()}
		if data := m.MatchedDatas(); len(data) > 0 {
			r.Variable, r.Value = describe(data[0].Variable().Name(), data[0].Key(), data[0].Value())
		}
		rules = append(rules, r)
	}
	return rules
}

// secretName: arguments, headers and cookies whose value is never written.
var secretName = regexp.MustCompile(`(?i)pass|pwd|secret|token|auth|api.?key|cookie|session|credential|otp|code|pin$|signature`)

// secretArgument finds such arguments in a query, a form or a URL inside a header.
var secretArgument = regexp.MustCompile(`(?i)((?:^|[?&;/#\s])[^?&;=/#\s]*(?:pass|pwd|secret|token|auth|api.?key|cookie|session|credential|otp|code|signature)[^&;=\s]*=)[^&;#\s]*`)

// plain are the collections whose values may be written, if their key is no secret's name. All else is named only:
// whole bodies, XML and captures can hold a secret anywhere.
var plain = map[string]bool{
	"ARGS": true, "ARGS_GET": true, "ARGS_POST": true, "ARGS_NAMES": true, "ARGS_GET_NAMES": true, "ARGS_POST_NAMES": true,
	"REQUEST_HEADERS": true, "REQUEST_HEADERS_NAMES": true, "REQUEST_COOKIES_NAMES": true,
	"REQUEST_URI": true, "REQUEST_URI_RAW": true, "REQUEST_FILENAME": true, "REQUEST_BASENAME": true, "REQUEST_LINE": true,
	"REQUEST_METHOD": true, "REQUEST_PROTOCOL": true, "QUERY_STRING": true, "REMOTE_ADDR": true,
	"FILES": true, "FILES_NAMES": true, "MULTIPART_FILENAME": true, "MULTIPART_NAME": true,
}

// describe gives a matched variable's name, and its value cut and masked.
func describe(variable, key, value string) (name, shown string) {
	name = variable
	if key != "" {
		name += ":" + cut(key, maxValue)
	}
	switch {
	case !plain[variable]:
		if _, err := strconv.Atoi(value); err == nil {
			return name, cut(value, 20) // counts and sizes
		}
		return name, masked
	case !strings.HasSuffix(variable, "_NAMES") && secretName.MatchString(key):
		return name, masked
	}
	return name, cut(maskArguments(value), maxValue)
}

func maskArguments(s string) string { return secretArgument.ReplaceAllString(s, "${1}"+masked) }

// cut shortens s to n bytes and replaces what is not UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "?")
}
