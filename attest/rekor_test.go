package attest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/sealyard/sealyard/attest"
)

// A log that says that it has this very signature already, because the answer to an earlier request was lost, gets another one of the
// same statement: what it has cannot be asked for (R50).
func TestEquivalentEntry(t *testing.T) {
	var seen []string
	log := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Record struct {
				Signature struct{ Content string }
			} `json:"hashedRekordRequestV002"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.URL.Path != "/api/v2/log/entries" {
			t.Errorf("%s: %v", r.URL, err)
		}
		if seen = append(seen, asked.Record.Signature.Content); len(seen) == 1 {
			http.Error(w, "an equivalent entry already exists", http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"logIndex":"7"}`)
	}))
	defer log.Close()
	s := newSigstore(t)
	service := func(url string, version uint32) []root.Service {
		return []root.Service{{URL: url, MajorAPIVersion: version, ValidityPeriodStart: since(time.Hour), Operator: "test"}}
	}
	anyone := root.ServiceConfiguration{Selector: trustroot.ServiceSelector_ANY}
	config := must(root.NewSigningConfig(root.SigningConfigMediaType02, service(s.URL, 1), nil, service(log.URL, 2), anyone, service(s.URL+"/timestamp", 1), anyone))(t)
	k := must(attest.NewKeyless(attest.KeylessOptions{Token: githubToken, SigningConfig: must(config.MarshalJSON())(t), Now: time.Now(), Clock: time.Now}))(t)
	if _, err := k.Sign(context.Background(), bom(t)); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0] == seen[1] || seen[0] == "" {
		t.Errorf("asked with the signatures %q", seen)
	}
}
