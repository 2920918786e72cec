// Package logscrub keeps credentials out of Caddy's own log: a DNS provider's error quotes the token that it was given, and
// Caddy writes the error down.
package logscrub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

func init() { caddy.RegisterModule(Encoder{}) }

const (
	redacted   = "[redacted]"
	shortest   = 6 // bytes; what is shorter would blank half of every line
	valueLimit = 64 << 10
)

// Encoder is the module caddy.logging.encoders.scrubbed: another encoder's lines less the contents of the credential files.
type Encoder struct {
	zapcore.Encoder `json:"-"`

	// Directory holds a file for each credential.
	Directory string `json:"directory"`

	// Wrapped makes the lines.
	Wrapped json.RawMessage `json:"wrap" caddy:"namespace=caddy.logging.encoders inline_key=format"`

	known *known
}

// CaddyModule names the module.
func (Encoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.encoders.scrubbed", New: func() caddy.Module { return new(Encoder) }}
}

// Provision makes the encoder that it wraps.
func (e *Encoder) Provision(ctx caddy.Context) error {
	made, err := ctx.LoadModule(e, "Wrapped")
	if err != nil {
		return fmt.Errorf("the wrapped encoder: %w", err)
	}
	e.Encoder, e.known = made.(zapcore.Encoder), &known{directory: e.Directory}
	return nil
}

// Clone is part of zapcore.Encoder.
func (e *Encoder) Clone() zapcore.Encoder {
	return &Encoder{Encoder: e.Encoder.Clone(), Directory: e.Directory, known: e.known}
}

// EncodeEntry encodes and scrubs the whole line, so that it matters in no field where a credential stands.
func (e *Encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return line, err
	}
	replacer := e.known.replacer()
	if replacer == nil {
		return line, nil
	}
	clean := replacer.Replace(line.String())
	line.Reset()
	line.AppendString(clean)
	return line, nil
}

// known holds what the directory's files say, read anew when the directory has changed.
type known struct {
	directory string
	mu        sync.Mutex
	read      time.Time // of the directory
	replace   *strings.Replacer
}

func (k *known) replacer() *strings.Replacer {
	k.mu.Lock()
	defer k.mu.Unlock()
	status, err := os.Stat(k.directory)
	if err != nil || status.ModTime().Equal(k.read) {
		return k.replace
	}
	k.read, k.replace = status.ModTime(), replacerOf(k.directory)
	return k.replace
}

func replacerOf(directory string) *strings.Replacer {
	files, _ := filepath.Glob(filepath.Join(directory, "[^.]*")) // the pattern is ours: it cannot be bad
	var values []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		value := string(bytes.TrimSpace(content))
		if err != nil || len(value) < shortest || len(value) > valueLimit {
			continue
		}
		values = append(values, value)
		// As it stands in JSON, and in JSON that is quoted in JSON.
		once := quoted(value)
		values = append(values, once, quoted(once), escaped(value), escaped(escaped(value)))
	}
	if len(values) == 0 {
		return nil
	}
	// The longest first: one may hold another.
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	pairs := make([]string, 0, 2*len(values))
	for _, value := range values {
		pairs = append(pairs, value, redacted)
	}
	return strings.NewReplacer(pairs...)
}

// quoted is a text as zap writes it in JSON, less the quotes.
func quoted(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a text can always be encoded
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(out.String()), `"`), `"`)
}

// escaped is a text as encoding/json writes it, with <, > and & as code points.
func escaped(text string) string {
	out, _ := json.Marshal(text) // a text can always be encoded
	return string(out[1 : len(out)-1])
}
