package waf

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// object is a JSON object of n honest fields, about 29 bytes each.
func object(n int) string {
	fields := make(map[string]string, n)
	for i := range n {
		fields[fmt.Sprintf("field_%03d", i)] = fmt.Sprintf("value of %03d", i)
	}
	b, _ := json.Marshal(fields)
	return string(b)
}

// cpu is the process's time on processors, in ns: unlike the clock, it is the same on a busy machine.
func cpu() int64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return used.Utime.Nano() + used.Stime.Nano()
}

func BenchmarkInspection(b *testing.B) {
	for name, c := range map[string]struct{ method, target, body string }{
		"GET": {"GET", "/photos/2026?page=2&sort=date", ""}, "1 KB JSON": {"POST", "/api", object(35)}, "4 KB JSON": {"POST", "/api", object(140)},
	} {
		b.Run(name, func(b *testing.B) {
			e := serve(b, "On", nil)
			h := through(e.h, func(http.ResponseWriter, *http.Request) {})
			before, n := cpu(), 0
			for b.Loop() {
				n++
				r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
				r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
				r.Header.Set("Accept", "application/json, text/plain, */*")
				r.Header.Set("Accept-Language", "en-US,en;q=0.5")
				r.Header.Set("Cookie", "lang=en; theme=dark")
				if c.body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
			b.ReportMetric(float64(cpu()-before)/1000/float64(n), "µs-cpu/op")
		})
	}
}
