package waf

import (
	"bytes"
	le "encoding/binary"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type part struct{ name, file, value string }

// form writes a multipart/form-data body.
func form(t testing.TB, parts ...part) (io.Reader, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var (
			to  io.Writer
			err error
		)
		if p.file != "" {
			to, err = w.CreateFormFile(p.name, p.file)
		} else {
			to, err = w.CreateFormField(p.name)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(to, p.value)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b, w.FormDataContentType()
}

const attackForm = "q=1%27%20UNION%20SELECT%20username%2C%20password%20FROM%20users--%20-"

var binary = func() []byte { // 20 MB that no parser takes for text
	b := make([]byte, 20<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+8 <= len(b); i += 8 {
		le.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}()

// ING-2: neither header makes an ordinary body pass unseen.
func TestAClaimToBeWebSocketOrGRPCSkipsNothing(t *testing.T) {
	for name, o := range map[string]option{"plain host": func(*setup) {}, "gRPC host": func(s *setup) { s.GRPC = true }} {
		t.Run(name, func(t *testing.T) {
			e := serve(t, "On", nil, o)
			for method, want := range map[string]int{"POST": 403, "GET": 403} {
				resp := e.send(t, method, "/", "application/x-www-form-urlencoded", strings.NewReader(attackForm),
					"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
				if resp.StatusCode != want {
					t.Errorf("%s with Upgrade and an attack in its body: %d, want %d", method, resp.StatusCode, want)
				}
			}
			if name == "plain host" {
				if got := e.send(t, "POST", "/", "application/grpc", strings.NewReader(attackForm)).StatusCode; got != 403 {
					t.Errorf("gRPC type on a host not declared gRPC: %d, want 403", got)
				}
			}
			if got := e.send(t, "POST", "/", "application/x-www-form-urlencoded", chunked(attackForm), "TE", "trailers").StatusCode; got != 403 {
				t.Errorf("chunked: %d, want 403", got)
			}
		})
	}
}

// ING-2: padding hides nothing.
func TestABodyOverTheLimitIs413InBlockAndPassesLoggedInDetect(t *testing.T) {
	const limit = 4 << 10 // the default's 64 KiB take half a minute under the race detector
	padding := strings.Repeat("a", limit)
	bodies := map[string]func() (string, io.Reader){
		"form": func() (string, io.Reader) {
			return "application/x-www-form-urlencoded", strings.NewReader("p=" + padding + "&" + attackForm)
		},
		"chunked form": func() (string, io.Reader) {
			return "application/x-www-form-urlencoded", chunked("p=" + padding + "&" + attackForm)
		},
		"JSON": func() (string, io.Reader) {
			return "application/json", strings.NewReader(`{"p": "` + padding + `", "q": "<script>alert(1)</script>"}`)
		},
		"multipart field": func() (string, io.Reader) {
			body, contentType := form(t, part{name: "p", value: padding}, part{name: "q", value: "x"})
			return contentType, body
		},
		"multipart preamble": func() (string, io.Reader) {
			return "multipart/form-data; boundary=xyz", strings.NewReader(strings.Repeat("line\r\n", 100_000) + "--xyz--\r\n")
		},
	}
	small := func(s *setup) { s.BodyLimit = limit }
	block, detect := serve(t, "On", nil, small), serve(t, "DetectionOnly", nil, small)
	if standard := serve(t, "On", nil).h.policy.BodyLimit; standard != 64<<10 {
		t.Errorf("the default limit is %d bytes, want 64 KiB", standard)
	}
	for name, make := range bodies {
		contentType, body := make()
		sent, _ := io.ReadAll(body)
		if resp := block.send(t, "POST", "/", contentType, bytes.NewReader(sent)); resp.StatusCode != 413 {
			t.Errorf("%s in block: %d, want 413", name, resp.StatusCode)
		}
		resp := detect.send(t, "POST", "/", contentType, bytes.NewReader(sent))
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || !bytes.Equal(got, sent) {
			t.Errorf("%s in detect: %d, and the upstream got %d of %d bytes", name, resp.StatusCode, len(got), len(sent))
		}
	}
	for _, ev := range block.events(t, len(bodies)) {
		if ev.Reason != "body_limit" || ev.Status != 413 || ev.BlockedBy != 0 {
			t.Errorf("block's event: %+v", ev)
		}
	}
	for _, ev := range detect.events(t, len(bodies)) {
		if ev.Reason != "body_limit" || !ev.WouldBlock || ev.Status != 0 {
			t.Errorf("detect's event: %+v", ev)
		}
	}
}

func TestABodyWithinTheLimitReachesTheUpstreamWhole(t *testing.T) {
	e := serve(t, "On", nil)
	sent := `{"p": "` + strings.Repeat("a b ", 700) + `"}`
	for _, body := range []io.Reader{strings.NewReader(sent), chunked(sent)} {
		resp := e.send(t, "PUT", "/", "application/json", body)
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != sent {
			t.Errorf("%d, and %d of %d bytes", resp.StatusCode, len(got), len(sent))
		}
	}
}

// Uploads: their content costs nothing, and arrives as it was.
func TestLargeUploadsPassWholeAndFast(t *testing.T) {
	e := serve(t, "On", nil)
	multipartBody, multipartType := form(t, part{name: "album", value: "summer"}, part{name: "f", file: "a.jpg", value: string(binary)},
		part{name: "note", value: "by the sea"}, part{name: "g", file: "b.jpg", value: string(binary[:3<<20])}, part{name: "end", value: "1"})
	uploaded, _ := io.ReadAll(multipartBody)
	for contentType, sent := range map[string][]byte{"application/octet-stream": binary, "image/jpeg": binary, multipartType: uploaded} {
		started := time.Now()
		resp := e.send(t, "POST", "/upload", contentType, bytes.NewReader(sent), "Expect", "100-continue")
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !bytes.Equal(got, sent) {
			t.Errorf("%s: %d, and the upstream got %d of %d bytes", contentType, resp.StatusCode, len(got), len(sent))
		}
		if took := time.Since(started); took > 40*time.Second { // 0.1 s without the race detector, minutes if its content were inspected
			t.Errorf("%s: took %s", contentType, took)
		}
	}
}

// ING-2: the engine drops parameters above its limit, so a request with more is refused whole.
// threat: ING-2
func TestAnAttackBehindManyParametersIsNotLetPass(t *testing.T) {
	const most = 4096
	pairs := func(n int) string { return strings.Repeat("a&", n-1) } // and one that follows
	requests := func(n int, last string) map[string]*http.Request {
		parts := make([]part, n-1, n)
		for i := range parts {
			parts[i].name = "a"
		}
		multi, multiType := form(t, append(parts, part{name: "q", value: last})...)
		escaped := url.QueryEscape(last)
		made := map[string]*http.Request{
			"query":     httptest.NewRequest("GET", "/?"+pairs(n)+"q="+escaped, nil),
			"form":      httptest.NewRequest("POST", "/", strings.NewReader(pairs(n)+"q="+escaped)),
			"text":      httptest.NewRequest("POST", "/", strings.NewReader(pairs(n)+"q="+escaped)),
			"JSON":      httptest.NewRequest("POST", "/", strings.NewReader("["+strings.Repeat("1,", n-1)+`"`+last+`"]`)),
			"multipart": httptest.NewRequest("POST", "/", multi),
		}
		made["form"].Header.Set("Content-Type", "application/x-www-form-urlencoded")
		made["text"].Header.Set("Content-Type", "text/plain")
		made["JSON"].Header.Set("Content-Type", "application/json")
		made["multipart"].Header.Set("Content-Type", multiType)
		return made
	}
	e := serve(t, "On", nil, func(s *setup) { s.BodyLimit = 1 << 20 }) // so that it is the number that decides
	h := through(e.h, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	status := func(r *http.Request) int {
		r.Host = "photos.home.example"
		r.Header.Set("User-Agent", "Mozilla/5.0")
		r.Header.Set("Accept", "*/*")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	attack := "1' UNION SELECT username, password FROM users-- -"
	for name, r := range requests(most+2, attack) {
		if got := status(r); got != 400 && got != 403 {
			t.Errorf("%s: an attack behind %d parameters: %d", name, most+1, got)
		}
	}
	for name, r := range requests(most/2, attack) {
		if got := status(r); got != 403 {
			t.Errorf("%s: an attack behind %d parameters: %d, want 403", name, most/2-1, got)
		}
	}
	for name, r := range requests(most/2, "honest") {
		if got := status(r); got != 200 {
			t.Errorf("%s: %d honest parameters: %d", name, most/2, got)
		}
	}
}

// ING-2: what follows a file is inspected before the upstream gets it.
func TestAnAttackBehindALargeFileNeverReachesTheUpstream(t *testing.T) {
	const mark = "UNION SELECT username"
	bodies := map[string][]part{
		"field":             {{name: "f", file: "a.jpg", value: string(binary[:1<<20])}, {name: "q", value: "1' " + mark + ", password FROM users-- -"}},
		"field after two":   {{name: "f", file: "a.jpg", value: string(binary[:1<<20])}, {name: "g", file: "b.jpg", value: string(binary[:1<<20])}, {name: "q", value: "1' " + mark + ", password FROM users-- -"}},
		"name of a file":    {{name: "f", file: "a.jpg", value: string(binary[:1<<20])}, {name: "g", file: "shell.php", value: "UNION SELECT username"}},
		"field, small file": {{name: "f", file: "a.jpg", value: "tiny"}, {name: "q", value: "1' " + mark + ", password FROM users-- -"}},
		"long field":        {{name: "f", file: "a.jpg", value: string(binary[:1<<20])}, {name: "q", value: "1' " + mark + ", password FROM users-- -" + strings.Repeat("a", parserLag+2048)}},
		"too many fields":   {{name: "f", file: "a.jpg", value: string(binary[:1<<20])}, {name: "q", value: strings.Repeat(mark, defaultBodyLimit/10)}},
	}
	for name, parts := range bodies {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			var failed atomic.Bool
			done := make(chan struct{}, 1)
			e := serve(t, "On", func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(&got, r.Body)
				failed.Store(err != nil)
				done <- struct{}{}
			})
			body, contentType := form(t, parts...)
			resp := e.send(t, "POST", "/", contentType, body)
			if want := map[bool]int{true: 413, false: 403}[name == "too many fields"]; resp.StatusCode != want {
				t.Errorf("answered %d, want %d", resp.StatusCode, want)
			}
			if name == "field, small file" { // refused before the upstream was called
				if len(done) != 0 {
					t.Error("the upstream was called")
				}
			} else {
				<-done
				if !failed.Load() {
					t.Error("the upstream took the cut body for a whole one")
				}
			}
			if bytes.Contains(got.Bytes(), []byte(mark)) {
				t.Error("the attack reached the upstream")
			}
			if ev := e.events(t, 1)[0]; ev.Status != resp.StatusCode {
				t.Errorf("event: %+v", ev)
			}
		})
	}
}

// ING-2: PHP ignores these and takes the part for a field; Go alone takes it for a file, whose content nobody inspects.
func TestAFieldThatOnlySomeTakeForAFileIsRefused(t *testing.T) {
	e := serve(t, "On", nil)
	for name, disposition := range map[string]string{
		"extended":      `form-data; name="q"; filename*=UTF-8''a.txt`,
		"continued":     `form-data; name="q"; filename*0="a.txt"`,
		"inside a name": `form-data; name="q; filename=a"; filename*=UTF-8''a.txt`,
		"two lines":     "form-data; name=\"q\"; filename=\"a.txt\"\r\nContent-Disposition: form-data; name=\"q\"",
	} {
		body := "--xyz\r\nContent-Disposition: " + disposition +
			"\r\n\r\n1' UNION SELECT username, password FROM users-- -\r\n--xyz--\r\n"
		resp := e.send(t, "POST", "/", "multipart/form-data; boundary=xyz", strings.NewReader(body))
		if resp.StatusCode != 403 && resp.StatusCode != 400 {
			t.Errorf("%s: %d, want a refusal", name, resp.StatusCode)
		}
	}
}

// ING-2: each of these is one file, or nothing, to Go and to Coraza, and a field of PHP's $_POST (seen with php-cgi 8.2).
func TestAFieldThatOnlySomeParsersFindIsRefused(t *testing.T) {
	const (
		first = "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\n"
		field = "Content-Disposition: form-data; name=\"q\""
		end   = "\r\n--xyz--\r\n"
	)
	large := first + strings.Repeat("a", 1<<20)
	bodies := map[string]string{
		"behind the end":                    first + "a" + end + "--xyz\r\n" + field + "\r\n\r\n" + sqli + end,
		"behind the end of a large file":    large + end + "--xyz\r\n" + field + "\r\n\r\n" + sqli + end,
		"behind blanks behind the end":      first + "a" + end + strings.Repeat("\r\n", 100_000) + "--xyz\r\n" + field + "\r\n\r\n" + sqli + end,
		"before the beginning":              "--xyz\x00\r\n" + field + "\r\n\r\n" + sqli + "\r\n" + first + "a" + end,
		"before the only boundary":          "--xyz\x00\r\n" + field + "\r\n\r\n" + sqli + end,
		"boundary of bare line feeds":       first + "a\n--xyz\n" + field + "\n\n" + sqli + "\n--xyz--\n" + end,
		"the same in a large file":          large + "\n--xyz\n" + field + "\n\n" + sqli + "\n--xyz--\n" + end,
		"boundary with a NUL":               first + "a\r\n--xyz\x00\r\n" + field + "\r\n\r\n" + sqli + end,
		"boundary in a field":               "--xyz\r\n" + field + "\r\n\r\na\n--xyz\n" + field + "\n\nb" + end,
		"a blank before the equals sign":    "--xyz\r\n" + field + "; filename =\"a\"\r\n\r\n" + sqli + end,
		"single quotes around the filename": "--xyz\r\n" + field + "; a='; filename=\"a\"; b='\r\n\r\n" + sqli + end,
	}
	for name, body := range bodies {
		for engine, want := range map[string]int{"On": 400, "DetectionOnly": 200} {
			t.Run(name+", "+engine, func(t *testing.T) {
				got := make(chan []byte, 1)
				e := serve(t, engine, func(_ http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					got <- b
				})
				resp := e.send(t, "POST", "/", "multipart/form-data; boundary=xyz", strings.NewReader(body))
				if resp.StatusCode != want {
					t.Errorf("answered %d, want %d", resp.StatusCode, want)
				}
				if want == 200 && string(<-got) != body {
					t.Error("the upstream did not get it whole")
				}
				select {
				case b := <-got:
					if bytes.Contains(b, []byte(sqli)) {
						t.Error("the attack reached the upstream")
					}
				default:
				}
				if ev := e.events(t, 1)[0]; ev.Reason != "multipart" {
					t.Errorf("event %+v", ev)
				}
			})
		}
	}
}

func TestTheEngineReadsTheSameOfAFormEachTime(t *testing.T) {
	h := serve(t, "On", nil).h
	const want = "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\nContent-Transfer-Encoding: binary\r\n" +
		"Content-Type: image/jpeg\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
	body := strings.Replace(want, "\r\n\r\n", "\r\n\r\nJPEG\r\n--xyz--\r\n", 1)
	for range 50 {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=xyz")
		in := h.begin(r)
		b := newMultipartBody(in)
		if err := b.advance(); err != nil {
			t.Fatal(err)
		}
		if got := b.skeleton.String(); got != want+"\r\n" {
			t.Fatalf("%q", got)
		}
		_ = in.tx.Close()
	}
}

func TestFormsAsBrowsersAndClientsWriteThemPass(t *testing.T) {
	e := serve(t, "On", nil)
	for name, body := range map[string]string{
		"browser":          "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a b.jpg\"\r\nContent-Type: image/jpeg\r\n\r\na--xy\r\n--\r\n--xyz--\r\n",
		"no quotes":        "--xyz\r\nContent-Disposition: form-data; name=f; filename=a.jpg\r\n\r\na\r\n--xyz--\r\n",
		"both names":       "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"; filename*=UTF-8''%E2%82%AC.jpg\r\n\r\na\r\n--xyz--\r\n",
		"letters of UTF-8": "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"Grüße.jpg\"\r\n\r\na\r\n--xyz--\r\n",
		"no file chosen":   "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--xyz--\r\n",
		"a line before":    "\r\n--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\na\r\n--xyz--",
		"two lines after":  "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\r\n\r\na\r\n--xyz--\r\n\r\n",
		"line feeds alone": "--xyz\nContent-Disposition: form-data; name=\"f\"; filename=\"a.jpg\"\n\na\n--xyz--\n",
	} {
		resp := e.send(t, "POST", "/", "multipart/form-data; boundary=xyz", strings.NewReader(body))
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != body {
			t.Errorf("%s: %d, and the upstream got %d of %d bytes", name, resp.StatusCode, len(got), len(body))
		}
	}
}

func TestAMalformedMultipartBodyIsRefusedInBlockAndPassesInDetect(t *testing.T) {
	for name, body := range map[string]string{
		"cut":         "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue",
		"no boundary": "q=1",
		"bad header":  "--xyz\r\nContent-Disposition form-data\r\n\r\nvalue\r\n--xyz--\r\n",
	} {
		for engine, want := range map[string]int{"On": 400, "DetectionOnly": 200} {
			e := serve(t, engine, nil)
			resp := e.send(t, "POST", "/", "multipart/form-data; boundary=xyz", strings.NewReader(body))
			if resp.StatusCode != want && !(want == 400 && resp.StatusCode == 403) {
				t.Errorf("%s, %s: %d, want %d", name, engine, resp.StatusCode, want)
			}
			if got, _ := io.ReadAll(resp.Body); want == 200 && string(got) != body {
				t.Errorf("%s: the upstream got %q", name, got)
			}
			if ev := e.events(t, 1)[0]; ev.Reason == "" {
				t.Errorf("%s, %s: event without a reason: %+v", name, engine, ev)
			}
		}
	}
}

// ING-2: an upstream that goes by no type reads these as readily as JSON.
func TestTextualTypesOfTheirOwnAreInspected(t *testing.T) {
	e := serve(t, "On", nil)
	for contentType, honest := range map[string]string{
		"application/graphql":    "query { photo(id: 7) { title owner { name } } }",
		"application/csp-report": "{\"csp-report\":{\"blocked-uri\":\"inline\",\"line-number\":3}}",
	} {
		if got := e.send(t, "POST", "/", contentType, strings.NewReader(honest)).StatusCode; got != 200 {
			t.Errorf("%s: an honest body got %d", contentType, got)
		}
		attack := "{\"q\": \"<script>alert(1)</script> ' OR 1=1 UNION SELECT password FROM users--\"}"
		if got := e.send(t, "POST", "/", contentType, strings.NewReader(attack)).StatusCode; got != 403 {
			t.Errorf("%s: an attack got %d", contentType, got)
		}
	}
}

// ING-2: an upstream may go by a word that stands anywhere in the header, and Rack reads every multipart/ as a form. The
// attack is written as its parser reads it, so that no other parser of the WAF's would find it.
func TestAWordAnywhereInTheTypeHidesNoBody(t *testing.T) {
	escaped := `{"q": "1\u0027 \u0055NION \u0053ELECT username, password FROM users-- -"}`
	xml := `<?xml version="1.0"?><q>1&#39; &#85;NION &#83;ELECT username, password FROM users-- -</q>`
	related := "--xyz\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n" + sqli + "\r\n--xyz--\r\n"
	e, detect := serve(t, "On", nil), serve(t, "DetectionOnly", nil)
	for contentType, body := range map[string]string{
		"image/png; type=application/json":                                          escaped,
		"image/png;type=\"application/json\"":                                       escaped,
		"application/octet-stream; type=application/xml":                            xml,
		"application/octet-stream; type=openxml":                                    xml,
		"image/jpeg; type=application/x-www-form-urlencoded":                        attackForm,
		"image/jpeg; type=multipart/form-data; boundary=xyz":                        related,
		"text/plain; type=application/json":                                         escaped,
		"application/x-www-form-urlencoded; type=application/json":                  escaped,
		"application/x-www-form-urlencoded; type=text/xml":                          xml,
		"application/json; type=application/xml":                                    xml,
		"application/json; type=multipart/form-data; boundary=xyz":                  related,
		"multipart/form-data; type=application/x-www-form-urlencoded; boundary=xyz": "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n&" + attackForm + "&\r\n--xyz--\r\n",
		"multipart/related; boundary=xyz":                                           related,
		"multipart/mixed; boundary=xyz":                                             related,
		"image/svg+xml":                                                             xml,
		"application/x-any+json":                                                    escaped,
	} {
		if got := e.send(t, "POST", "/", contentType, strings.NewReader(body)).StatusCode; got != 403 && got != 400 {
			t.Errorf("%s: %d, want a refusal", contentType, got)
		}
		if got := detect.send(t, "POST", "/", contentType, strings.NewReader(body)).StatusCode; got != 200 {
			t.Errorf("%s in detect: %d", contentType, got)
		}
	}
	for _, ev := range detect.events(t, 16) {
		if !ev.WouldBlock {
			t.Errorf("detect's event does not say that block would have refused: %+v", ev)
		}
	}
}

// ING-2: a host that lets rule 920420's types pass has their bodies inspected all the same.
func TestATypeThatAnExclusionLetsPassIsInspected(t *testing.T) {
	e := serve(t, "On", nil, func(s *setup) { s.Own = []Exclusion{{ID: 920420}} })
	related := func(value string) string {
		return "--xyz\r\nContent-Type: application/xop+xml\r\n\r\n" + value + "\r\n--xyz--\r\n"
	}
	for name, c := range map[string]struct {
		contentType, body string
		want              int
	}{
		"honest parts":     {"multipart/related; type=xop; boundary=xyz", related("by the sea"), 200},
		"attack in a part": {"multipart/related; type=xop; boundary=xyz", related(sqli), 403},
		"office document":  {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "PK\x03\x04" + string(binary[:4096]), 200},
		"honest JSON":      {"application/vnd.my-app.v2+json", `{"a": 1}`, 200},
		"attack in JSON":   {"application/vnd.my-app.v2+json", `{"q": "1\u0027 \u0055NION \u0053ELECT username, password FROM users-- -"}`, 403},
		"attack in XML":    {"application/atom+xml", "<a><b>1&#39; &#85;NION &#83;ELECT username, password FROM users-- -</b></a>", 403},
	} {
		if got := e.send(t, "POST", "/", c.contentType, strings.NewReader(c.body)).StatusCode; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A drawing program's file passes; SOAP and browsers name a type's word in parameters too.
func TestHonestTypesWithParametersPass(t *testing.T) {
	e := serve(t, "On", nil)
	drawing := `<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<svg width="24" height="24" viewBox="0 0 24 24" version="1.1" xmlns="http://www.w3.org/2000/svg">
  <defs><linearGradient id="a"><stop offset="0" style="stop-color:#1b6;stop-opacity:1" /></linearGradient></defs>
  <g transform="translate(-2,3)"><path style="fill:url(#a);stroke:none" d="m 3.5,7 c -1.2,0.4 2,-9 4,1 z" /></g>
</svg>`
	for contentType, body := range map[string]string{
		"image/svg+xml": drawing,
		"application/soap+xml; charset=utf-8; action=\"http://schemas.xmlsoap.org/ws/Get\"": "<?xml version=\"1.0\"?><e><b>7</b></e>",
		"application/json; charset=utf-8":                              `{"a": 1}`,
		"multipart/form-data; boundary=----WebKitFormBoundaryxmLJSON7": "------WebKitFormBoundaryxmLJSON7\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n------WebKitFormBoundaryxmLJSON7--\r\n",
		"image/png; version=1":                                         "PNG",
		"application/octet-stream":                                     attackForm,
	} {
		if got := e.send(t, "PUT", "/dav/x", contentType, strings.NewReader(body)).StatusCode; got != 200 {
			t.Errorf("%s: %d, want 200", contentType, got)
		}
	}
}

func TestTwoContentTypesAreRefused(t *testing.T) {
	e := serve(t, "On", nil)
	req, _ := http.NewRequest("POST", e.URL, strings.NewReader(attackForm))
	req.Header["Content-Type"] = []string{"application/octet-stream", "application/x-www-form-urlencoded"}
	resp, err := e.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 400 {
		t.Errorf("answered %d, want 400", resp.StatusCode)
	}
}

// DAT-4: a request waits its turn, then is told so; it is never passed uninspected, and others go on.
func TestAFullHouseOfInspectionsIs503ForBodiesOnly(t *testing.T) {
	e := serve(t, "On", nil, func(s *setup) { s.Inspections = 3 })
	for range 3 {
		if !e.h.policy.slots.acquire(t.Context()) {
			t.Fatal("no slot")
		}
	}
	started := time.Now()
	if got := e.send(t, "POST", "/", "application/json", strings.NewReader(`{"a": 1}`)).StatusCode; got != 503 {
		t.Errorf("body: %d, want 503", got)
	}
	if waited := time.Since(started); waited < slotWait || waited > 15*slotWait {
		t.Errorf("waited %s, want about %s", waited, slotWait)
	}
	if got := e.send(t, "GET", "/", "", nil).StatusCode; got != 200 {
		t.Errorf("GET meanwhile: %d, want 200", got)
	}
	if got := e.send(t, "POST", "/", "image/png", strings.NewReader("PNG")).StatusCode; got != 200 {
		t.Errorf("upload meanwhile: %d, want 200", got)
	}
	for range 3 {
		e.h.policy.slots.release()
	}
	if got := e.send(t, "POST", "/", "application/json", strings.NewReader(`{"a": 1}`)).StatusCode; got != 200 {
		t.Errorf("body afterwards: %d, want 200", got)
	}
}

// `curl -T` names no type: a photo is an upload like any other, a text is inspected.
func TestAPutWithoutATypeIsAnUploadOrInspected(t *testing.T) {
	e := serve(t, "On", nil)
	photo := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF"), binary[:300<<10]...)
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"photo": {string(photo), 200}, "note": {"a note of yesterday", 200}, "empty": {"", 200},
		"attack": {`{"q": "` + sqli + `"}`, 403}, "padded attack": {strings.Repeat(" ", 600) + `{"q": "` + sqli + `"}`, 403},
		"long text": {strings.Repeat("a", defaultBodyLimit+1), 413},
	} {
		for _, body := range []io.Reader{strings.NewReader(c.body), chunked(c.body)} {
			resp := e.send(t, "PUT", "/dav/x", "", body)
			got, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.want || (c.want == 200 && string(got) != c.body) {
				t.Errorf("%s: %d, and the upstream got %d of %d bytes; want %d", name, resp.StatusCode, len(got), len(c.body), c.want)
			}
		}
	}
}

// ING-2: bulk APIs' lines are JSON each.
func TestJSONLinesAreInspectedLineByLine(t *testing.T) {
	e := serve(t, "On", nil)
	for _, contentType := range []string{"application/x-ndjson", "application/ndjson; charset=utf-8", "application/jsonl", "application/x-jsonlines"} {
		for name, c := range map[string]struct {
			body string
			want int
		}{
			"honest":    {"{\"index\": {\"_index\": \"photos\"}}\r\n{\"title\": \"summer\"}\n\n{\"n\": 1}", 200},
			"attack":    {"{\"n\": 1}\n{\"rows\": {\"q\": \"" + sqli + "\"}}\n", 403},
			"not JSON":  {"{\"n\": 1}\nq=" + sqli + "\n", 400},
			"breakout":  {"{\"n\": 1}\n], \"q\": [\n", 400},
			"too long":  {strings.Repeat("{\"n\": 1}\n", defaultBodyLimit/9+1), 413},
			"one value": {"1", 200},
		} {
			resp := e.send(t, "POST", "/_bulk", contentType, strings.NewReader(c.body))
			got, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.want || (c.want == 200 && string(got) != c.body) {
				t.Errorf("%s, %s: %d, want %d", contentType, name, resp.StatusCode, c.want)
			}
		}
	}
}

// A policy's own limit leaves slots for the others.
func TestAPolicysOwnLimitHoldsForItAlone(t *testing.T) {
	one := serve(t, "On", nil, func(s *setup) { s.Inspections = 1 })
	other := serve(t, "On", nil)
	if !one.h.policy.slots.acquire(t.Context()) {
		t.Fatal("no slot")
	}
	defer one.h.policy.slots.release()
	for e, want := range map[*edge]int{one: 503, other: 200} {
		if got := e.send(t, "POST", "/", "application/json", strings.NewReader(`{"a": 1}`)).StatusCode; got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}
