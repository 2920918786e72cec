// The OpenID Connect provider of Zitadel's library, as its own example serves it, for one client of the suite.
//
// What it is to be comes as JSON on the standard input: issuer, address, port, secret, panels (origins of the panel).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

type told struct {
	Issuer  string   `json:"issuer"`
	Address string   `json:"address"`
	Port    int      `json:"port"`
	Secret  string   `json:"secret"`
	Panels  []string `json:"panels"`
}

// people are whoever gives the password "any".
type people struct{}

func (people) GetUserByID(id string) *storage.User { return person(id) }

func (people) GetUserByUsername(name string) *storage.User { return person(name) }

func (people) ExampleClientID() string { return storage.ServiceUserID }

func person(name string) *storage.User {
	return &storage.User{
		ID: name, Username: name, Password: "any", FirstName: "Person", LastName: name,
		Email: name + "@home.example", EmailVerified: true,
	}
}

// withLogout lets a client's people come back after they signed out: the example's clients name no such address.
type withLogout struct {
	op.Client
	addresses []string
}

func (c withLogout) PostLogoutRedirectURIs() []string { return c.addresses }

type store struct {
	*storage.Storage
	addresses []string
}

func (s store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return withLogout{client, s.addresses}, nil
}

func main() {
	var asked told
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	var callbacks, logins []string
	for _, origin := range asked.Panels {
		callbacks = append(callbacks, strings.TrimSuffix(origin, "/")+"/oidc/callback")
		logins = append(logins, strings.TrimSuffix(origin, "/")+"/login")
	}
	storage.RegisterClients(storage.WebClient("argos", asked.Secret, callbacks...))
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	handler := exampleop.SetupServer(asked.Issuer, store{storage.NewStorage(people{}), logins}, quiet, false)
	listener, err := net.Listen("tcp", net.JoinHostPort(asked.Address, strconv.Itoa(asked.Port)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, handler))
}
