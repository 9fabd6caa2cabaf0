package testkit

import (
	"context"
	"io"
	"log"
	"net/http"
)

type ruleKey struct{}

func withRule(ctx context.Context, r Rule) context.Context {
	return context.WithValue(ctx, ruleKey{}, r)
}

func ruleOf(ctx context.Context) Rule {
	r, _ := ctx.Value(ruleKey{}).(Rule)
	return r
}

// hangUp closes the client's connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }

// statusWriter remembers the status it sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(code int) {
	w.status = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
