package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

const maxBundle = 16 << 20 // bytes

// store keeps attestations as GitHub's API does: POST /repos/OWNER/NAME/attestations, and GET of the same with a digest after it.
type store struct {
	mu      sync.Mutex
	bundles map[string][]json.RawMessage // by repository and digest
}

// serve adds the store to the issuer, whose bearer is the token of the job.
func (s *store) serve(i *issuer) {
	i.HandleFunc("POST /repos/{owner}/{name}/attestations", func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Bundle json.RawMessage }
		if r.Header.Get("Authorization") != "Bearer "+i.bearer {
			answer(w, http.StatusForbidden, map[string]string{"message": "Resource not accessible by integration"})
			return
		}
		raw, err := io.ReadAll(io.LimitReader(r.Body, maxBundle))
		if err == nil {
			err = json.Unmarshal(raw, &asked)
		}
		digests := subjects(asked.Bundle)
		if err != nil || len(digests) == 0 {
			answer(w, http.StatusUnprocessableEntity, map[string]string{"message": "Invalid bundle"})
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, d := range digests {
			at := r.PathValue("owner") + "/" + r.PathValue("name") + "@" + d
			s.bundles[at] = append(s.bundles[at], asked.Bundle)
		}
		answer(w, http.StatusCreated, map[string]int{"id": len(s.bundles)})
	})
	i.HandleFunc("GET /repos/{owner}/{name}/attestations/{digest}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		var out []map[string]json.RawMessage
		for _, b := range s.bundles[r.PathValue("owner")+"/"+r.PathValue("name")+"@"+r.PathValue("digest")] {
			out = append(out, map[string]json.RawMessage{"bundle": b})
		}
		if out == nil {
			answer(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"attestations": out})
	})
}

// subjects are the digests that a bundle's statement is about.
func subjects(bundle []byte) []string {
	var b struct{ DSSEEnvelope struct{ Payload string } }
	var statement struct {
		Subject []struct{ Digest map[string]string }
	}
	if json.Unmarshal(bundle, &b) != nil {
		return nil
	}
	payload, err := base64.StdEncoding.DecodeString(b.DSSEEnvelope.Payload)
	if err != nil || json.Unmarshal(payload, &statement) != nil {
		return nil
	}
	var out []string
	for _, s := range statement.Subject {
		for alg, value := range s.Digest {
			out = append(out, alg+":"+value)
		}
	}
	return out
}
