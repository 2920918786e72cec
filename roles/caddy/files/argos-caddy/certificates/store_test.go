package certificates

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const id = "house.0123456789abcdef0123456789abcdef"

func pair(t *testing.T) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"a.example"},
		NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, bytes []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", raw)
}

func ask(t *testing.T, handler func(http.ResponseWriter, *http.Request) error, method, path string, body any) (int, string) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	err = handler(recorder, httptest.NewRequest(method, path, bytes.NewReader(encoded)))
	var refused caddy.APIError
	if errors.As(err, &refused) {
		return refused.HTTPStatus, refused.Err.Error()
	}
	return recorder.Code, recorder.Body.String()
}

func TestAKeyGoesInAndNeverComesOut(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	chain, key := pair(t)
	status, said := ask(t, serveOne, "PUT", prefix+"/"+id, map[string]string{"certificate": string(chain), "key": string(key)})
	if status != 200 {
		t.Fatal(status, said)
	}
	info, err := os.Stat(path(id))
	if err != nil || info.Mode().Perm() != 0o400 {
		t.Fatal(info, err)
	}
	if found, err := load(id); err != nil || len(found.Certificate) != 1 {
		t.Fatal(err)
	}
	for _, way := range []struct{ method, path string }{{"GET", prefix}, {"GET", prefix + "/" + id}, {"POST", prefix + "/" + id}} {
		handler := serveAll
		if way.path != prefix {
			handler = serveOne
		}
		if _, said := ask(t, handler, way.method, way.path, nil); strings.Contains(said, "PRIVATE") {
			t.Errorf("%s %s gives the key away", way.method, way.path)
		}
	}
	if status, _ := ask(t, serveOne, "DELETE", prefix+"/"+id, nil); status != 200 {
		t.Fatal(status)
	}
	if found, err := stored(); err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
}

func TestWhatDoesNotGoTogetherOrLeadsElsewhereIsRefused(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	chain, key := pair(t)
	_, stranger := pair(t)
	for name, put := range map[string]struct{ id, chain, key string }{
		"another's key": {id, string(chain), string(stranger)},
		"no key":        {id, string(chain), ""},
		"a way out":     {"../" + id, string(chain), string(key)},
		"no digest":     {"house", string(chain), string(key)},
	} {
		status, said := ask(t, serveOne, "PUT", prefix+"/"+put.id, map[string]string{"certificate": put.chain, "key": put.key})
		if status != 400 || strings.Contains(said, "PRIVATE") {
			t.Errorf("%s: %d %s", name, status, said)
		}
	}
	if entries, _ := os.ReadDir(directory()); len(entries) != 0 {
		t.Errorf("something was left behind: %v", entries)
	}
}

func TestAMissingCertificateIsSaidAndStopsNothing(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	chain, key := pair(t)
	if err := store(id, chain, key); err != nil {
		t.Fatal(err)
	}
	core, seen := observer.New(zap.ErrorLevel)
	gone := "gone." + strings.Repeat("0", 32)
	found, err := (&Loader{Identifiers: []string{gone, id}, logger: zap.New(core)}).LoadCertificates()
	if err != nil || len(found) != 1 || found[0].Tags[0] != "argos:house" {
		t.Fatal(found, err)
	}
	if seen.Len() != 1 || seen.All()[0].ContextMap()["certificate"] != gone {
		t.Error(seen.All())
	}
}
