// Command traefik is Traefik's own forwardAuth middleware, on Traefik's own reading of a dynamic configuration, in front
// of the configuration's one service. It takes the options of Traefik that the suite gives, so that docs/forward-auth.md's
// example runs in it:
//
//	go build -o /tmp/traefik . && ARGOS_TRAEFIK_BINARY=/tmp/traefik pytest tests/integration/panel/test_operators_proxies.py
//
// Ten minutes of CPU time go into the first build, so `make test` leaves it out.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/traefik/paerser/file"
	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/middlewares/auth"
)

func main() {
	listen := flag.String("entryPoints.web.address", "127.0.0.1:0", "address to serve at")
	path := flag.String("providers.file.filename", "", "a YAML file of dynamic configuration, with one middleware and one service")
	_ = flag.String("global.checkNewVersion", "", "taken, and of no effect: nothing looks for a version here")
	flag.Parse()
	handler, err := handlerOf(*path)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*listen, handler))
}

func handlerOf(path string) (http.Handler, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var configuration dynamic.Configuration
	if err := file.DecodeContent(string(content), ".yaml", &configuration); err != nil {
		return nil, err
	}
	var upstream http.Handler
	for _, service := range configuration.HTTP.Services {
		target, err := url.Parse(service.LoadBalancer.Servers[0].URL)
		if err != nil {
			return nil, err
		}
		upstream = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as Traefik's passHostHeader, which is on by default
		}}
	}
	for name, middleware := range configuration.HTTP.Middlewares {
		return auth.NewForward(context.Background(), upstream, *middleware.ForwardAuth, name)
	}
	return upstream, nil
}
