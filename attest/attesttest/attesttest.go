// Package attesttest holds implementations of attest.Signer to its contract.
package attesttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/sealyard/sealyard/attest"
)

// Signer signs statements with s and fails t where s does not do what attest.Signer promises. trust must accept s.
func Signer(t *testing.T, s attest.Signer, trust *attest.Trust) {
	t.Run("round trip", func(t *testing.T) { roundTrip(t, s, trust) })
	t.Run("at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { roundTrip(t, s, trust) })
		}
		wg.Wait()
	})
	t.Run("foretold identity", func(t *testing.T) { foretold(t, s, trust) })
	t.Run("refusals", func(t *testing.T) { refusals(t, s) })
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func statement(t *testing.T, size int) attest.Statement {
	t.Helper()
	doc, err := json.Marshal(map[string]string{"bomFormat": "CycloneDX", "specVersion": "1.6", "x": strings.Repeat("x", size)})
	if err != nil {
		t.Fatal(err)
	}
	st, err := attest.CycloneDX([]attest.Subject{{Name: "a", Digest: digest("a")}, {Name: "b", Digest: digest("b")}}, doc)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func roundTrip(t *testing.T, s attest.Signer, trust *attest.Trust) {
	st := statement(t, 10)
	b, err := s.Sign(context.Background(), st)
	if err != nil {
		t.Errorf("sign: %v", err)
		return
	}
	for _, d := range st.Subjects() {
		v, err := trust.Verify(b, d)
		if err != nil {
			t.Errorf("verify %s: %v", d, err)
			continue
		}
		if !bytes.Equal(v.JSON(), st.JSON()) {
			t.Errorf("other bytes were signed: %s", v.JSON())
		}
	}
	if _, err := trust.Verify(b, digest("c")); !errors.Is(err, attest.ErrUntrusted) {
		t.Errorf("a digest that is no subject: %v", err)
	}
	var shape struct {
		MediaType    string
		DSSEEnvelope struct{ Signatures []struct{ Sig string } }
	}
	if err := json.Unmarshal(b, &shape); err != nil {
		t.Error(err)
	}
	if want := "application/vnd.dev.sigstore.bundle.v0.3+json"; shape.MediaType != want || len(shape.DSSEEnvelope.Signatures) != 1 {
		t.Errorf("media type %q, not %q, or %d signatures, not 1", shape.MediaType, want, len(shape.DSSEEnvelope.Signatures))
	}
	if bytes.ContainsAny(b, "\n\r\t") {
		t.Error("the bundle is not on one line")
	}
}

func foretold(t *testing.T, s attest.Signer, trust *attest.Trust) {
	want, err := s.Identity(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	st := statement(t, 10)
	b, err := s.Sign(context.Background(), st)
	if err != nil {
		t.Fatal(err)
	}
	v, err := trust.Verify(b, st.Subjects()[0])
	if err != nil {
		t.Fatal(err)
	}
	if v.Signer() != want || want.ID == "" || want.Kind == "" {
		t.Errorf("signed by %+v, foretold %+v", v.Signer(), want)
	}
}

func refusals(t *testing.T, s attest.Signer) {
	if _, err := s.Sign(context.Background(), attest.Statement{}); err == nil {
		t.Error("the zero statement was signed")
	}
	if _, err := s.Sign(context.Background(), statement(t, attest.MaxBundle*3/4)); !errors.Is(err, attest.ErrTooLarge) {
		t.Errorf("a statement that makes too large a bundle: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Sign(ended, statement(t, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
}
