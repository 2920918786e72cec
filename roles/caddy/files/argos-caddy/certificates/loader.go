package certificates

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"
)

func init() { caddy.RegisterModule(new(Loader)) }

// Loader is the module tls.certificates.argos: the stored certificates with these identifiers, each tagged with its name.
// One that is missing or broken is an error in the log, and no reason for Caddy to stay down.
type Loader struct {
	Identifiers []string `json:"identifiers"`

	logger *zap.Logger
}

// CaddyModule names the module.
func (*Loader) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.certificates.argos", New: func() caddy.Module { return new(Loader) }}
}

// Provision takes the logger.
func (l *Loader) Provision(ctx caddy.Context) error {
	l.logger = ctx.Logger()
	return nil
}

// LoadCertificates reads those that are there.
func (l *Loader) LoadCertificates() ([]caddytls.Certificate, error) {
	var found []caddytls.Certificate
	for _, id := range l.Identifiers {
		certificate, err := load(id)
		if err != nil {
			l.logger.Error("a certificate of the operator's cannot be read", zap.String("certificate", id), zap.Error(err))
			continue
		}
		name, _, _ := strings.Cut(id, ".")
		found = append(found, caddytls.Certificate{Certificate: certificate, Tags: []string{tagPrefix + name}})
	}
	return found, nil
}

var _ caddytls.CertificateLoader = (*Loader)(nil)
