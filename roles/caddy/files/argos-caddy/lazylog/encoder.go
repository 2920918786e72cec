// Package lazylog is caddy.logging.encoders.lazy_json: the JSON encoder, or one around it, which encodes an object only
// for an entry that is written.
package lazylog

import (
	"encoding/json"
	"fmt"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/logging"
)

func init() { caddy.RegisterModule(Encoder{}) }

// Encoder is the JSON encoder with objects put off. reverse_proxy makes a logger that carries the whole request for
// every request it passes on, and nearly never writes to it: encoding each cost a tenth of the processor's time on a
// host behind sign-on, where two proxies served one request then.
type Encoder struct {
	zapcore.Encoder `json:"-"`
	logging.LogEncoderConfig

	// Wrapped makes the lines; none: the JSON encoder. Caddy's filter encoder belongs inside, here: around this one it would
	// write a kept object's fields to the wrong line.
	Wrapped json.RawMessage `json:"wrap,omitempty" caddy:"namespace=caddy.logging.encoders inline_key=format"`

	pending []zapcore.Field
}

// CaddyModule names the module.
func (Encoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.encoders.lazy_json", New: func() caddy.Module { return new(Encoder) }}
}

// Provision sets up the encoder behind it.
func (e *Encoder) Provision(ctx caddy.Context) error {
	if e.Wrapped != nil {
		made, err := ctx.LoadModule(e, "Wrapped")
		if err != nil {
			return fmt.Errorf("the wrapped encoder: %w", err)
		}
		e.Encoder = made.(zapcore.Encoder)
		return nil
	}
	e.Encoder = zapcore.NewJSONEncoder(e.ZapcoreEncoderConfig())
	return nil
}

// AddObject keeps the object until an entry is written.
func (e *Encoder) AddObject(key string, object zapcore.ObjectMarshaler) error {
	e.pending = append(e.pending, zap.Object(key, object))
	return nil
}

// OpenNamespace encodes what is kept first: it belongs outside the namespace.
func (e *Encoder) OpenNamespace(key string) {
	for _, field := range e.pending {
		field.AddTo(e.Encoder)
	}
	e.pending = nil
	e.Encoder.OpenNamespace(key)
}

// Clone copies the encoder; what either is given afterwards the other does not see.
func (e *Encoder) Clone() zapcore.Encoder {
	return &Encoder{Encoder: e.Encoder.Clone(), pending: e.pending[:len(e.pending):len(e.pending)]}
}

// EncodeEntry encodes the entry with the objects that were kept, then its own fields.
func (e *Encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if len(e.pending) > 0 {
		fields = append(e.pending[:len(e.pending):len(e.pending)], fields...)
	}
	return e.Encoder.EncodeEntry(entry, fields)
}

var (
	_ caddy.Provisioner = (*Encoder)(nil)
	_ zapcore.Encoder   = (*Encoder)(nil)
)
