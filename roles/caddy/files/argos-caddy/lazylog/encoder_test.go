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
