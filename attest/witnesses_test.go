package attest_test

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

// amend changes a trusted root, which becomes one of v0.2.
func amend(t testing.TB, rootJSON []byte, change func(*trustroot.TrustedRoot)) []byte {
	t.Helper()
	var pb trustroot.TrustedRoot
	if err := protojson.Unmarshal(rootJSON, &pb); err != nil {
		t.Fatal(err)
	}
	pb.MediaType = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	change(&pb)
	return must(protojson.Marshal(&pb))(t)
}

// stamped adds a timestamp of another authority to a bundle.
func (s *sigstore) stamped(t testing.TB, b []byte) []byte {
	t.Helper()
	return edit(t, b, func(b *protobundle.Bundle) {
		sig := b.GetDsseEnvelope().GetSignatures()[0].GetSig()
		req := must(timestamp.CreateRequest(bytes.NewReader(sig), &timestamp.RequestOptions{Hash: crypto.SHA256, Certificates: true}))(t)
		res := must(http.Post(s.URL+"/timestamp", "application/timestamp-query", bytes.NewReader(req)))(t)
		defer res.Body.Close()
		answer := must(io.ReadAll(res.Body))(t)
		data := b.VerificationMaterial.TimestampVerificationData
		data.Rfc3161Timestamps = append(data.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: answer})
	})
}

func witnessTrust(rootJSON []byte, least attest.Thresholds) (*attest.Trust, error) {
	return attest.LoadTrust(attest.TrustOptions{
		TrustedRoots: []attest.File{{Name: "trusted_root.json", Data: rootJSON}}, Identities: exactly(workflowSAN, githubIssuer), Thresholds: least,
	})
}

// R46 T21: a threshold of two logs asks for entries in the logs of two operators: two entries of one log, two logs of one operator, or
// an entry that is not really in the second one, are not enough.
func TestLogThreshold(t *testing.T) {
	s, st := newSigstore(t), bom(t)
	a, b, c := newTestLog(t, true), newTestLog(t, false), newTestLog(t, false)
	s.rekor = a.in(since(time.Hour), time.Time{})
	maps.Copy(s.rekor, b.in(since(time.Hour), time.Time{}))
	maps.Copy(s.rekor, c.in(since(time.Hour), time.Time{}))
	operated := func(operators map[string]string) []byte { // by log; every log has an address of its own
		return amend(t, s.roots(t, nil), func(r *trustroot.TrustedRoot) {
			for i, l := range r.Tlogs {
				l.BaseUrl += "/" + string(rune('0'+i))
				l.Operator = operators[string(l.LogId.KeyId)]
			}
		})
	}
	three := operated(map[string]string{string(a.id): "a.example", string(b.id): "b.example", string(c.id): "b.example"})
	signed := s.signedBy(t, st, claims(), nil)
	in := func(logs ...testLog) []byte {
		return edit(t, signed, func(bundle *protobundle.Bundle) {
			for _, l := range logs {
				bundle.VerificationMaterial.TlogEntries = append(bundle.VerificationMaterial.TlogEntries, l.entry(t, bundle, time.Now()))
			}
		})
	}
	again := func(b []byte) []byte { // another entry of the first one's log
		return edit(t, b, func(b *protobundle.Bundle) {
			m := b.VerificationMaterial
			second := a.entryAt(t, b, time.Now(), 1)
			m.TlogEntries = append(m.TlogEntries, second)
		})
	}
	falsePromise := edit(t, in(b, c, a), func(b *protobundle.Bundle) {
		p := b.VerificationMaterial.TlogEntries[0].InclusionPromise
		p.SignedEntryTimestamp = damage(p.SignedEntryTimestamp)
	})
	for name, c := range map[string]struct {
		root, bundle []byte
		least        int
		want         string
	}{
		"one of one":              {three, in(a), 1, ""},
		"none given is one":       {three, in(a), 0, ""},
		"two operators":           {three, in(a, b), 2, ""},
		"three logs, two of them": {three, in(a, b, c), 2, ""},
		"one log":                 {three, in(a), 2, "not enough verified log entries"},
		"two entries of one log":  {three, again(in(a)), 2, "not enough verified log entries"},
		"and they count for one":  {three, again(in(a)), 1, ""},
		"two logs, one operator":  {three, in(b, c), 2, "in the logs of 1 distinct operators, and 2 are asked for"},
		"operators not named":     {operated(nil), in(b, c), 2, ""},
		"logs of one address":     {s.roots(t, nil), in(b, c), 1, ""},
		"a false promise":         {three, falsePromise, 2, "log"},
	} {
		trust, err := witnessTrust(c.root, attest.Thresholds{Logs: c.least})
		if err == nil {
			_, err = trust.Verify(c.bundle, st.Subjects()[0])
		}
		if (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		root  []byte
		least attest.Thresholds
	}{
		"more than there are":    {three, attest.Thresholds{Logs: 3}},
		"one address, no names":  {s.roots(t, nil), attest.Thresholds{Logs: 2}},
		"no log":                 {newSigstore(t).roots(t, nil), attest.Thresholds{Logs: 2}},
		"less than none":         {three, attest.Thresholds{Logs: -1}},
		"one clock":              {newSigstore(t).roots(t, nil), attest.Thresholds{Clocks: 2}},
		"less than no clock":     {three, attest.Thresholds{Clocks: -1}},
		"more clocks than there": {three, attest.Thresholds{Clocks: 4}},
	} {
		if _, err := witnessTrust(c.root, c.least); !hint.IsMisuse(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// R46 R47: a threshold of two clocks asks for two operators as well, of authorities or of logs that sign a time.
func TestClockThreshold(t *testing.T) {
	s, other, st := newSigstore(t), newSigstore(t), bom(t)
	log := newTestLog(t, false)
	one := s.signedBy(t, st, claims(), nil)
	two := other.stamped(t, one)
	with := func(operators ...string) []byte {
		return amend(t, s.roots(t, nil), func(r *trustroot.TrustedRoot) {
			amend(t, other.roots(t, nil), func(o *trustroot.TrustedRoot) {
				r.TimestampAuthorities = append(r.TimestampAuthorities, o.TimestampAuthorities...)
			})
			for i, name := range operators {
				r.TimestampAuthorities[i].Operator = name
			}
		})
	}
	s.rekor = log.in(since(time.Hour), time.Time{})
	withLog := func(operator string) []byte {
		return amend(t, s.roots(t, nil), func(r *trustroot.TrustedRoot) {
			r.Tlogs[0].Operator, r.TimestampAuthorities[0].Operator = operator, "a.example"
		})
	}
	logged, b := s.logged(t, st, log), withLog("b.example")
	s.rekor = nil
	for name, c := range map[string]struct {
		root, bundle []byte
		least        int
		want         string
	}{
		"one of one":                {with(), one, 1, ""},
		"two operators":             {with("a.example", "b.example"), two, 2, ""},
		"two addresses":             {with(), two, 2, ""},
		"one":                       {with(), one, 2, "threshold not met"},
		"one, twice":                {with(), s.stamped(t, one), 2, "threshold not met"},
		"two of one operator":       {with("a.example", "a.example"), two, 1, ""},
		"a log's time and another":  {b, logged, 2, ""},
		"a log's time, for certain": {b, logged, 1, ""},
	} {
		trust, err := witnessTrust(c.root, attest.Thresholds{Clocks: c.least})
		if err == nil {
			_, err = trust.Verify(c.bundle, st.Subjects()[0])
		}
		if (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Three services, two of one operator: what that operator says twice is said once.
	three := amend(t, with("a.example", "b.example"), func(r *trustroot.TrustedRoot) {
		l := log.in(since(time.Hour), time.Time{})
		s.rekor = l
		amend(t, s.roots(t, nil), func(o *trustroot.TrustedRoot) { r.Tlogs = o.Tlogs })
		r.Tlogs[0].Operator = "a.example"
	})
	trust := must(witnessTrust(three, attest.Thresholds{Clocks: 2}))(t)
	if _, err := trust.Verify(logged, st.Subjects()[0]); !errors.Is(err, attest.ErrUntrusted) || !strings.Contains(err.Error(), "timed by 1 distinct operators") {
		t.Errorf("a log and an authority of one operator: %v", err)
	}
	if _, err := trust.Verify(other.stamped(t, logged), st.Subjects()[0]); err != nil {
		t.Errorf("and another's time: %v", err)
	}
}
