package lazylog

import (
	"encoding/json"
	"reflect"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/caddyserver/caddy/v2"
)

type counted struct{ times *int }

func (c counted) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	*c.times++
	enc.AddString("uri", "/a")
	return nil
}

func lazy(t *testing.T) *Encoder {
	t.Helper()
	encoder := new(Encoder)
	if err := encoder.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return encoder
}

func line(t *testing.T, encoder zapcore.Encoder, build func(*zap.Logger) *zap.Logger) map[string]any {
	t.Helper()
	out := new(zaptest.Buffer)
	logger := build(zap.New(zapcore.NewCore(encoder, out, zapcore.InfoLevel)))
	logger.Debug("unseen")
	logger.Info("told", zap.Int("status", 502))
	var read map[string]any
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	delete(read, "ts")
	return read
}

// What is written is what Caddy's own encoder writes, namespaces and loggers made from loggers among it.
func TestEntriesAreThoseOfTheJSONEncoder(t *testing.T) {
	times := 0
	builds := []func(*zap.Logger) *zap.Logger{
		func(l *zap.Logger) *zap.Logger {
			return l.With(zap.String("a", "1"), zap.Object("request", counted{&times}))
		},
		func(l *zap.Logger) *zap.Logger {
			first := l.With(zap.Object("request", counted{&times}))
			_ = first.With(zap.Object("other", counted{&times}))
			return first.With(zap.Namespace("inner"), zap.Object("second", counted{&times}))
		},
	}
	for number, build := range builds {
		encoder := lazy(t)
		wanted := line(t, encoder.Encoder, build)
		if got := line(t, encoder, build); !reflect.DeepEqual(got, wanted) {
			t.Errorf("%d: got %v, want %v", number, got, wanted)
		}
	}
}

// The point of it: a logger that is never written to encodes nothing.
func TestAnObjectIsEncodedOnlyForAnEntryThatIsWritten(t *testing.T) {
	times := 0
	logger := zap.New(zapcore.NewCore(lazy(t), new(zaptest.Buffer), zapcore.InfoLevel)).
		With(zap.Object("request", counted{&times}))
	logger.Debug("unseen")
	if times != 0 {
		t.Fatalf("encoded %d times before anything was written", times)
	}
	logger.Error("seen")
	if times != 1 {
		t.Errorf("encoded %d times for one entry", times)
	}
}

// secretive is an object whose fields a filter knows.
type secretive struct{ times *int }

func (s secretive) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	*s.times++
	enc.AddString("uri", "/a?token=SENTINEL&page=2")
	return enc.AddObject("headers", zapcore.ObjectMarshalerFunc(func(enc zapcore.ObjectEncoder) error {
		enc.AddString("X-Api-Key", "SENTINEL")
		enc.AddString("Accept", "text/html")
		return nil
	}))
}

// Caddy's filter inside it sees what is kept, in the line that it belongs to, and no other line; still nothing is encoded
// for what is not written.
// threat: SEC-3
func TestAFilterInsideCutsWhatIsKept(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	encoder := new(Encoder)
	raw := `{"wrap":{"format":"filter","wrap":{"format":"json"},"fields":{"request>headers>X-Api-Key":{"filter":"delete"},
		"request>uri":{"filter":"query","actions":[{"type":"replace","parameter":"token","value":"REDACTED"}]}}}}`
	if err := json.Unmarshal([]byte(raw), encoder); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	times, out := 0, new(zaptest.Buffer)
	base := zap.New(zapcore.NewCore(encoder, out, zapcore.InfoLevel))
	logger := base.With(zap.String("upstream", "a:80"), zap.Object("request", secretive{&times}))
	logger.Debug("unseen")
	if times != 0 {
		t.Fatalf("encoded %d times before anything was written", times)
	}
	logger.Warn("first", zap.Int("status", 502))
	base.Error("second", zap.Object("request", secretive{&times})) // as Caddy's server logs an error: at once
	base.Info("third")
	want := map[string]any{"uri": "/a?page=2&token=REDACTED", "headers": map[string]any{"Accept": "text/html"}}
	lines := out.Lines()
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for number, line := range lines {
		var read map[string]any
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if got, there := read["request"]; number < 2 && !reflect.DeepEqual(got, any(want)) || number == 2 && there {
			t.Errorf("line %d holds the request %v, want %v", number, got, want)
		}
		if _, there := read["upstream"]; there != (number == 0) {
			t.Errorf("line %d: %s", number, line)
		}
	}
	if err := (&Encoder{Wrapped: json.RawMessage(`{"format":"none such"}`)}).Provision(ctx); err == nil {
		t.Error("an encoder that does not exist was taken")
	}
}
