package logscrub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func line(t *testing.T, encoder zapcore.Encoder, text string) string {
	t.Helper()
	written, err := encoder.EncodeEntry(zapcore.Entry{Message: "failed"}, []zapcore.Field{zap.String("error", text)})
	if err != nil {
		t.Fatal(err)
	}
	return written.String()
}

func TestNoLineQuotesACredentialThatIsLaidOut(t *testing.T) {
	directory := t.TempDir()
	token := filepath.Join(directory, "secret-token")
	put := func(name, value string) {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(value), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	put("secret-token", "first/\"token\"<1>\n")
	put("crowdsec-bouncer-key", "the-bouncers-own-key")
	put("complete", "")
	encoder := &Encoder{
		Encoder:   zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
		Directory: directory,
		known:     &known{directory: directory},
	}
	for _, text := range []string{
		"token first/\"token\"<1> is bad", "quoted: {\"t\":\"first/\\\"token\\\"<1>\"}", "key the-bouncers-own-key is bad",
	} {
		if got := line(t, encoder, text); strings.Contains(got, "first/") || strings.Contains(got, "own-key") {
			t.Error(got)
		}
	}
	// Another value is known from the moment that it stands there.
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	put("secret-token", "another-token")
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(directory, later, later); err != nil {
		t.Fatal(err)
	}
	if got := line(t, encoder.Clone(), "another-token is bad"); !strings.Contains(got, "[redacted] is bad") {
		t.Error(got)
	}
	if got := line(t, encoder, "nothing of the kind"); !strings.Contains(got, "nothing of the kind") {
		t.Error(got)
	}
}
