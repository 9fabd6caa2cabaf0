package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fault is how a service misbehaves, in words:
//
//	ok              not at all
//	refuse          nobody listens on its port
//	slow 5s         every answer comes that much later
//	500, 429, ...   it answers with this status, and does not hear what it was asked
//	cut             the connection ends in the middle of the answer
//	lie             it answers as it did to the first who asked the same path: well formed, signed, and about something else
//
// The admin endpoint takes and tells them:
//
//	curl $SIGSTACK_ADMIN                            # every service: its fault, and how often it was asked
//	curl -X PUT -d cut $SIGSTACK_ADMIN/rekor        # from now on
//	curl -X PUT -d 500 $SIGSTACK_ADMIN/fulcio?times=2   # the next two requests, then ok again
type fault struct {
	word   string
	status int
	delay  time.Duration
	times  int // requests that it is for; 0 for all
}

func parseFault(text, times string) (fault, error) {
	word, arg, _ := strings.Cut(strings.TrimSpace(text), " ")
	f := fault{word: word}
	var err error
	if times != "" {
		if f.times, err = strconv.Atoi(times); err != nil || f.times < 1 || word == "refuse" {
			return fault{}, fmt.Errorf("fault %q: not for %q requests", text, times)
		}
	}
	switch word {
	case "ok", "refuse", "cut", "lie":
	case "slow":
		f.delay, err = time.ParseDuration(arg)
	default:
		if f.status, err = strconv.Atoi(word); err == nil && (f.status < 400 || f.status > 599) {
			err = fmt.Errorf("status %d is none of an error", f.status)
		}
	}
	if err != nil {
		return fault{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return f, nil
}

// front listens for one service, and misbehaves in its place.
type front struct {
	addr    string
	service http.Handler

	mu     sync.Mutex
	fault  fault
	asked  int
	server *http.Server                          // nil while it refuses
	first  map[string]*httptest.ResponseRecorder // the first good answer, by path
}

func (f *front) listen() error {
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		return err
	}
	f.addr, f.server = l.Addr().String(), &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	go f.server.Serve(l)
	return nil
}

func (f *front) set(to fault) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = to
	if to.word == "refuse" {
		return f.close()
	}
	if f.server == nil {
		return f.listen()
	}
	return nil
}

func (f *front) close() error {
	if f.server == nil {
		return nil
	}
	err := f.server.Close()
	f.server = nil
	return err
}

// next is the fault for one request.
func (f *front) next() fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	now := f.fault
	if now.times > 0 {
		if f.fault.times--; f.fault.times == 0 {
			f.fault = fault{word: "ok"}
		}
	}
	return now
}

// ServeHTTP lets the service answer, unless it has a fault.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch now := f.next(); {
	case now.status != 0:
		if now.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, "injected by sigstack", now.status)
	case now.delay > 0:
		select {
		case <-time.After(now.delay):
			f.service.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	case now.word == "cut":
		whole := httptest.NewRecorder()
		f.service.ServeHTTP(whole, r)
		maps.Copy(w.Header(), whole.Header())
		w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2]) // net/http hangs up when a promised length is not reached
	default:
		f.answer(w, r, now.word == "lie")
	}
}

// answer lets the service answer, or repeats what it answered first.
func (f *front) answer(w http.ResponseWriter, r *http.Request, again bool) {
	f.mu.Lock()
	whole := f.first[r.URL.Path]
	f.mu.Unlock()
	if whole != nil && !again {
		f.service.ServeHTTP(w, r)
		return
	}
	if whole == nil {
		whole = httptest.NewRecorder()
		f.service.ServeHTTP(whole, r)
		if whole.Code < http.StatusMultipleChoices {
			f.mu.Lock()
			f.first[r.URL.Path] = whole
			f.mu.Unlock()
		}
	}
	maps.Copy(w.Header(), whole.Header())
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes())
}

// fronts are the fronts of all services by name; the empty name is the admin endpoint.
type fronts map[string]*front

func (fs fronts) add(name string, service http.Handler) error {
	fs[name] = &front{addr: "127.0.0.1:0", service: service, fault: fault{word: "ok"}, first: map[string]*httptest.ResponseRecorder{}}
	return fs[name].listen()
}

func (fs fronts) url(name string) string { return "http://" + fs[name].addr }

func (fs fronts) set(name, text string) error {
	name, times, _ := strings.Cut(name, "?times=")
	f, ok := fs[name]
	if !ok || name == "" {
		return fmt.Errorf("no service is named %q: %q", name, slices.Sorted(maps.Keys(fs)))
	}
	to, err := parseFault(text, times)
	if err != nil {
		return err
	}
	return f.set(to)
}

func (fs fronts) serveAdmin() error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range slices.Sorted(maps.Keys(fs)) {
			if f := fs[name]; name != "" {
				f.mu.Lock()
				fmt.Fprintf(w, "%s %s %d\n", name, f.fault.word, f.asked)
				f.mu.Unlock()
			}
		}
	})
	mux.HandleFunc("PUT /{service}", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(io.LimitReader(r.Body, 100))
		if err == nil {
			err = fs.set(r.PathValue("service")+"?times="+r.FormValue("times"), string(text))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	return fs.add("", mux)
}

func (fs fronts) stop() {
	for _, f := range fs {
		f.mu.Lock()
		_ = f.close()
		f.mu.Unlock()
	}
}
