// Package certificates keeps the operator's own certificates beside Caddy's, and tells of every certificate that Caddy
// holds: whom it names, until when, and what went wrong when one was last asked for.
//
// The runtime writes a certificate through the admin socket and can never read its key back: the file is Caddy's user's
// alone, mode 0400, below Caddy's own data. Caddy starts from these files with nothing else of Argos running.
package certificates

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

const suffix = ".pem"

// A name, a dot, and the start of the chain's SHA-256: a file never changes, so an older configuration still finds its own.
var identifier = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}\.[0-9a-f]{32}$`)

func directory() string { return filepath.Join(caddy.AppDataDir(), "argos-certificates") }

// stored returns the identifiers of the certificates on disk.
func stored() ([]string, error) {
	entries, err := os.ReadDir(directory())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := []string{}
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), suffix); ok && identifier.MatchString(id) {
			found = append(found, id)
		}
	}
	return found, nil
}

// store writes a chain and its key, in PEM, as one file: either the whole of it is there or nothing is.
func store(id string, chain, key []byte) error {
	if !identifier.MatchString(id) {
		return fmt.Errorf("%q is no certificate's identifier", id)
	}
	// X509KeyPair's errors tell of shapes, never of the key's bytes.
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		return err
	}
	if err := os.MkdirAll(directory(), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(directory(), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // it is gone already when all went well
	content := append(append(append([]byte{}, chain...), '\n'), key...)
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o400), file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path(id)); err != nil {
		return err
	}
	return syncDirectory()
}

// remove deletes a certificate; one that is not there is gone already.
func remove(id string) error {
	if !identifier.MatchString(id) {
		return fmt.Errorf("%q is no certificate's identifier", id)
	}
	if err := os.Remove(path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// load reads a certificate with its key.
func load(id string) (tls.Certificate, error) {
	if !identifier.MatchString(id) {
		return tls.Certificate{}, fmt.Errorf("%q is no certificate's identifier", id)
	}
	content, err := os.ReadFile(path(id))
	if err != nil {
		return tls.Certificate{}, err
	}
	var chain, key []byte
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			chain = append(chain, pem.EncodeToMemory(block)...)
		} else {
			key = append(key, pem.EncodeToMemory(block)...)
		}
	}
	return tls.X509KeyPair(chain, key)
}

func path(id string) string { return filepath.Join(directory(), id+suffix) }

func syncDirectory() error {
	open, err := os.Open(directory())
	if err != nil {
		return err
	}
	return errors.Join(open.Sync(), open.Close())
}
