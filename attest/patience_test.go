package attest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A service that is busy is asked again, no sooner than it says, with the same body; one that wants to be waited for longer than
// anybody would is not, nor one that says what no wait will change.
func TestPatience(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []int // of the answers, in order; then 201
		header   map[string]string
		tries    int
		least    time.Duration
		want     string
	}{
		"at once":        {nil, nil, 1, 0, ""},
		"busy once":      {[]int{503}, nil, 2, firstWait / 2, ""},
		"says when":      {[]int{429}, map[string]string{"Retry-After": "2"}, 2, 2 * time.Second, ""},
		"says the date":  {[]int{429}, map[string]string{"Retry-After": "Mon, 02 Jan 2006 15:04:07 GMT", "Date": "Mon, 02 Jan 2006 15:04:05 GMT"}, 2, 2 * time.Second, ""},
		"much too long":  {[]int{429}, map[string]string{"Retry-After": "3600"}, 1, 0, "asks to wait 1h0m0s"},
		"never":          {[]int{500, 500, 500, 500, 500, 500}, nil, maxTries, 0, `it answered 500 "no"`},
		"what was asked": {[]int{400}, nil, 1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || string(body) != "question" {
					t.Errorf("try %d asks %q, %v", tries, body, err)
				}
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				if tries++; tries <= len(c.statuses) {
					http.Error(w, "no", c.statuses[tries-1])
					return
				}
				w.WriteHeader(http.StatusCreated)
			}))
			defer s.Close()
			began := time.Now()
			client := &http.Client{Transport: patient{context.Background(), "service"}}
			res, err := client.Post(s.URL, "text/plain", strings.NewReader("question"))
			if err == nil {
				res.Body.Close()
			}
			if took := time.Since(began); tries != c.tries || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || took < c.least {
				t.Errorf("%d tries, %v, after %s", tries, err, took)
			}
		})
	}
}

// An answer is read whole or refused, and a question that is spent is not asked again with an empty body.
func TestPatienceIsWhole(t *testing.T) {
	t.Parallel()
	tries := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; r.Method == http.MethodPost {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(make([]byte, maxAnswer+1))
	}))
	defer s.Close()
	client := &http.Client{Transport: patient{context.Background(), "service"}}
	if _, err := client.Post(s.URL, "text/plain", io.MultiReader(strings.NewReader("question"))); err == nil || tries != 1 {
		t.Errorf("%d tries, %v", tries, err)
	}
	if _, err := client.Get(s.URL); err == nil || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("a longer answer than is read: %v", err)
	}
}

// The deadline of a run ends a wait, and what was waited for is still said.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "later", http.StatusTooManyRequests)
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := (&http.Client{Transport: patient{ctx, "service"}}).Get(s.URL)
	for _, want := range []string{"service", "deadline", `429 "later"`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("after %s", took)
	}
}
