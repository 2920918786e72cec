package crowdsec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const stateBytes = 256 << 20

// saved is the state file: what a Caddy that starts while LAPI is dead goes on from.
type saved struct {
	Saved     string     `json:"saved"` // RFC 3339
	Decisions []savedBan `json:"decisions"`
}

type savedBan struct {
	Value string `json:"value"`
	ban
}

// save writes the table, so that a power cut leaves the old file or the new one.
func (d *decisions) save(path string, now time.Time) (err error) {
	state := saved{Saved: now.UTC().Format(time.RFC3339), Decisions: []savedBan{}}
	for _, b := range d.bans {
		state.Decisions = append(state.Decisions, savedBan{b.at.String(), b})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".decisions-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = json.NewEncoder(f).Encode(state); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// load reads the state file. No file is an empty table; a broken one is an error and an empty table.
func load(path string, now time.Time) (*decisions, error) {
	d := noDecisions()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	defer f.Close()
	var state saved
	if err := json.NewDecoder(io.LimitReader(f, stateBytes)).Decode(&state); err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	for _, s := range state.Decisions {
		if p, ok := parsePrefix(s.Value); ok && s.Until > now.Unix() {
			s.at = p
			d.add(s.ban)
		}
	}
	return d, d.index(&stepper{ctx: context.Background()})
}
