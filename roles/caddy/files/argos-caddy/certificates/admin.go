package certificates

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/caddyserver/certmagic"
)

func init() { caddy.RegisterModule(AdminAPI{}) }

const (
	prefix    = "/argos/certificates"
	tagPrefix = "argos:"
	bodyLimit = 1 << 20 // bytes: two parts of 64 KiB with JSON's escapes, or 5000 names
)

// AdminAPI is the module admin.api.argos_certificates:
//
//	GET    /argos/certificates                       {"stored": [identifier, …]}
//	POST   /argos/certificates {"names": {name: own}} {"certificates": {name: {…}}}: what Caddy shows for each name; own
//	       is the name of the operator's certificate that its host is bound to, empty for one that Caddy keeps itself
//	PUT    /argos/certificates/<identifier> {"certificate", "key"}
//	DELETE /argos/certificates/<identifier>
type AdminAPI struct{}

// CaddyModule names the module.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.argos_certificates", New: func() caddy.Module { return new(AdminAPI) }}
}

// Routes are the two of the table above.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: prefix, Handler: caddy.AdminHandlerFunc(serveAll)},
		{Pattern: prefix + "/", Handler: caddy.AdminHandlerFunc(serveOne)},
	}
}

// Shown is what is known of one name's certificate; with none, Subjects is empty.
type Shown struct {
	Subjects  []string   `json:"subjects"`
	Issuer    string     `json:"issuer"`
	Serial    string     `json:"serial"`
	NotBefore *time.Time `json:"not_before"`
	NotAfter  *time.Time `json:"not_after"`
	// RenewAt is when Caddy begins to renew, by the share of its life that is left; null for the operator's own.
	RenewAt *time.Time `json:"renew_at"`
	*failure
}

func serveAll(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet:
		found, err := stored()
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusInternalServerError, Err: err}
		}
		return answer(w, map[string]any{"stored": found})
	case http.MethodPost:
		var asked struct {
			Names map[string]string `json:"names"`
		}
		if err := decode(w, r, &asked); err != nil {
			return err
		}
		found := make(map[string]Shown, len(asked.Names))
		for name, bound := range asked.Names {
			found[name] = show(name, bound)
		}
		return answer(w, map[string]any{"certificates": found})
	}
	return notAllowed(r)
}

func serveOne(w http.ResponseWriter, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, prefix+"/")
	var err error
	switch r.Method {
	case http.MethodPut:
		var given struct {
			Certificate string `json:"certificate"`
			Key         string `json:"key"`
		}
		if err = decode(w, r, &given); err != nil {
			return err
		}
		err = store(id, []byte(given.Certificate), []byte(given.Key))
	case http.MethodDelete:
		err = remove(id)
	default:
		return notAllowed(r)
	}
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: err}
	}
	return answer(w, map[string]any{})
}

// show takes, among those for name that are bound or kept as it is, the one that is valid longest.
func show(name, bound string) Shown {
	shown := Shown{Subjects: []string{}, failure: failureOf(name)}
	var best *certmagic.Certificate
	for _, candidate := range matching(name) {
		if candidate.Leaf == nil || own(candidate) != bound {
			continue
		}
		if best == nil || candidate.Leaf.NotAfter.After(best.Leaf.NotAfter) {
			best = &candidate
		}
	}
	if best == nil {
		return shown
	}
	leaf := best.Leaf
	shown.Subjects, shown.Issuer, shown.Serial = best.Names, leaf.Issuer.CommonName, fmt.Sprintf("%x", leaf.SerialNumber)
	if shown.Issuer == "" && len(leaf.Issuer.Organization) > 0 {
		shown.Issuer = leaf.Issuer.Organization[0]
	}
	notBefore, notAfter := leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	shown.NotBefore, shown.NotAfter = &notBefore, &notAfter
	if bound == "" {
		left := time.Duration(float64(notAfter.Sub(notBefore)) * certmagic.DefaultRenewalWindowRatio)
		renewAt := notAfter.Add(-left).Truncate(time.Second)
		shown.RenewAt = &renewAt
	}
	return shown
}

func matching(name string) []certmagic.Certificate {
	// Without the app, as before the first configuration, there is no cache, and looking into it panics.
	if _, err := caddy.ActiveContext().AppIfConfigured("tls"); err != nil {
		return nil
	}
	return caddytls.AllMatchingCertificates(name)
}

func own(certificate certmagic.Certificate) string {
	for _, tag := range certificate.Tags {
		if name, ok := strings.CutPrefix(tag, tagPrefix); ok {
			return name
		}
	}
	return ""
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		return caddy.APIError{HTTPStatus: http.StatusBadRequest, Err: fmt.Errorf("the body cannot be read: %w", err)}
	}
	return nil
}

func answer(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(value)
}

func notAllowed(r *http.Request) error {
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("%s is not answered here", r.Method)}
}

var _ caddy.AdminRouter = AdminAPI{}
