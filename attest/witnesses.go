package attest

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// Thresholds say how many witnesses a signature made with a certificate needs. What one operator runs is one witness,
// where the trusted root names operators (v0.2); where it does not, each service is one, by its address (R46).
type Thresholds struct {
	Logs   int // transparency logs that have an entry of the signature; 0 is 1
	Clocks int // timestamp authorities, or logs that sign a time, that say when it was made; 0 is 1
	// Unlogged is content with signatures that are in no log, when a timestamp authority says when they were made. Nobody can know then
	// what else was signed as the same. It takes nothing from what a log entry must prove where there is one.
	Unlogged bool
}

// witnesses are the names under which the services of a root count.
type witnesses struct {
	operators map[string]string // by address, or of a log without one by its key id
	logs      map[string]bool   // all that could ever witness
	clocks    map[string]bool
}

func witnessesOf(pb *prototrustroot.TrustedRoot) witnesses {
	w := witnesses{map[string]string{}, map[string]bool{}, map[string]bool{}}
	for _, l := range pb.GetTlogs() {
		at := cmp.Or(l.GetBaseUrl(), hex.EncodeToString(l.GetLogId().GetKeyId()))
		w.operators[at] = cmp.Or(w.operators[at], l.GetOperator())
	}
	for _, c := range pb.GetTimestampAuthorities() {
		w.operators[c.GetUri()] = cmp.Or(w.operators[c.GetUri()], c.GetOperator())
	}
	for _, l := range pb.GetTlogs() {
		name := w.name(cmp.Or(l.GetBaseUrl(), hex.EncodeToString(l.GetLogId().GetKeyId())))
		w.logs[name], w.clocks[name] = true, true
	}
	for _, c := range pb.GetTimestampAuthorities() {
		w.clocks[w.name(c.GetUri())] = true
	}
	return w
}

// name is who runs the service at an address, or the address.
func (w witnesses) name(at string) string { return cmp.Or(w.operators[at], at) }

// enough refuses thresholds that no bundle could reach.
func (w witnesses) enough(t Thresholds) error {
	switch {
	case t.Logs < 0 || t.Clocks < 0:
		return errors.New("a threshold below zero")
	case t.Unlogged && t.Logs > 1:
		return errors.New("entries of several logs are asked for, and of none")
	case t.Logs > 1 && len(w.logs) < t.Logs:
		return fmt.Errorf("it names %d logs of distinct operators, and entries of %d are asked for", len(w.logs), t.Logs)
	case t.Clocks > 1 && len(w.clocks) < t.Clocks:
		return fmt.Errorf("it names %d clocks of distinct operators, and times of %d are asked for", len(w.clocks), t.Clocks)
	}
	return nil
}

// count holds the entries and times that were verified to the thresholds. sigstore-go counts logs and authorities, not
// who runs them.
func (w witnesses) count(t Thresholds, logs []*root.TransparencyLog, times []verify.TimestampVerificationResult) error {
	seen, told := map[string]bool{}, map[string]bool{}
	for _, l := range logs {
		seen[w.name(cmp.Or(l.BaseURL, hex.EncodeToString(l.ID)))] = true
	}
	for _, c := range times {
		told[w.name(c.URI)] = true
	}
	switch {
	case t.Logs > 1 && len(seen) < t.Logs:
		return fmt.Errorf("in the logs of %d distinct operators, and %d are asked for", len(seen), t.Logs)
	case t.Clocks > 1 && len(told) < t.Clocks:
		return fmt.Errorf("timed by %d distinct operators, and %d are asked for", len(told), t.Clocks)
	}
	return nil
}

// promised checks the signed time of an entry that has one. sigstore-go passes over an entry whose promise is false when
// there are others, and such an entry must not count.
func (r trustedRoot) promised(e *tlog.Entry) error {
	if !e.HasInclusionPromise() {
		return nil
	}
	return tlog.VerifySET(e, r.logs)
}
