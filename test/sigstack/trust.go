package main

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/encoding/protojson"
)

func (s *stack) caRoot() *x509.Certificate {
	chain, _ := s.ca.SignerWithChain.GetSignerWithChain()
	return chain[len(chain)-1]
}

// twoLogs is the directory of what to sign with two logs, whose trusted root names their operators.
const twoLogs = "two-logs"

// write writes what signers and verifiers need: with Rekor of both versions, with v1 alone, with two of v2, and without any log.
func (s *stack) write(dir string) error {
	logs := map[string]uint32{rekorTwo: 2, peer: 2, rekorOne: 1}
	for sub, names := range map[string][]string{"": {rekorTwo, rekorOne}, "rekor-v1": {rekorOne}, twoLogs: {rekorTwo, peer}, "private": nil} {
		sub = filepath.Join(dir, sub)
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		var services []root.Service
		for _, name := range names {
			services = append(services, s.service(name, "", logs[name]))
		}
		if err := s.writeSigningConfig(sub, services, filepath.Base(sub) == twoLogs); err != nil {
			return fmt.Errorf("signing config: %w", err)
		}
		if err := s.writeTrustedRoot(sub, names); err != nil {
			return fmt.Errorf("trusted root: %w", err)
		}
	}
	return s.writeEnv(filepath.Join(dir, "env"))
}

// writeEnv writes the environment of a job that GitHub gives the stack's claims to, for a shell to read.
func (s *stack) writeEnv(name string) error {
	claims := map[string]any{}
	for name, value := range s.issuer.claims {
		claims[name] = value
	}
	complete(claims)
	env := map[string]any{
		"ACTIONS_ID_TOKEN_REQUEST_URL": s.fronts.url(github) + tokenPath + "?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": s.issuer.bearer,
		"SIGSTACK_ADMIN": s.fronts.url(""), "GITHUB_API_URL": s.fronts.url(github),
		"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "RUNNER_ENVIRONMENT": claims["runner_environment"],
	}
	for _, name := range []string{
		"actor", "actor_id", "event_name", "ref", "ref_type", "repository", "repository_id", "repository_owner", "repository_owner_id",
		"run_attempt", "run_id", "run_number", "sha", "workflow", "workflow_ref", "workflow_sha",
	} {
		env["GITHUB_"+strings.ToUpper(name)] = claims[name]
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&text, "%s='%s'\n", name, strings.ReplaceAll(fmt.Sprint(env[name]), "'", `'\''`))
	}
	return os.WriteFile(name, []byte(text.String()), 0o600)
}

func (s *stack) service(name, path string, version uint32) root.Service {
	return root.Service{URL: s.fronts.url(name) + path, MajorAPIVersion: version, ValidityPeriodStart: s.began, Operator: operator(name)}
}

// operator is who runs a service.
func operator(name string) string {
	if name == peer {
		return "peer.example"
	}
	return "sigstack.example"
}

func (s *stack) writeSigningConfig(dir string, logs []root.Service, every bool) error {
	anyOne := root.ServiceConfiguration{Selector: v1.ServiceSelector_ANY}
	logConfig := anyOne
	switch {
	case every:
		logConfig = root.ServiceConfiguration{Selector: v1.ServiceSelector_EXACT, Count: uint32(len(logs))}
	case len(logs) == 0:
		logConfig = root.ServiceConfiguration{}
	}
	c, err := root.NewSigningConfig(root.SigningConfigMediaType02, []root.Service{s.service(fulcio, "", 1)}, []root.Service{{
		URL: githubIssuer, MajorAPIVersion: 1, ValidityPeriodStart: s.began, Operator: operator(github),
	}}, logs, logConfig, []root.Service{s.service(tsa, stampPath, 1)}, anyOne)
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "signing_config.json"), c)
}

func (s *stack) writeTrustedRoot(dir string, logs []string) error {
	cts, rekors := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	ct, err := s.log(ctLog, s.ctKey)
	if err != nil {
		return err
	}
	cts[hex.EncodeToString(ct.ID)] = ct
	for _, name := range logs {
		var l *root.TransparencyLog
		if name == rekorOne {
			l, err = s.log(name, s.rekor1)
		} else {
			key := map[string]*rekorServer{rekorTwo: s.rekor, peer: s.peer}[name].key
			if l, err = s.log(name, key); err == nil {
				_, l.ID, err = note.KeyHash(host, key) // Rekor v2 names its log by key and origin
			}
		}
		if err != nil {
			return err
		}
		rekors[hex.EncodeToString(l.ID)] = l
	}
	last := len(s.clock) - 1
	authority := &root.FulcioCertificateAuthority{Root: s.caRoot(), ValidityPeriodStart: s.began, URI: s.fronts.url(fulcio)}
	clock := &root.SigstoreTimestampingAuthority{
		Leaf: s.clock[0], Intermediates: s.clock[1:last], Root: s.clock[last], ValidityPeriodStart: s.began, URI: s.fronts.url(tsa),
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{authority}, cts, []root.TimestampingAuthority{clock}, rekors)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "trusted_root.json")
	if filepath.Base(dir) == twoLogs {
		return s.writeOperated(name, r)
	}
	return writeJSON(name, r)
}

// writeOperated writes a trusted root as one of v0.2, which says who runs what; cosign 2 and gh do not read those.
func (s *stack) writeOperated(name string, r *root.TrustedRoot) error {
	raw, err := r.MarshalJSON()
	if err != nil {
		return err
	}
	var pb v1.TrustedRoot
	if err := protojson.Unmarshal(raw, &pb); err != nil {
		return err
	}
	pb.MediaType = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	at := map[string]string{}
	for name := range s.fronts {
		at[s.fronts.url(name)] = operator(name)
	}
	for _, l := range append(pb.GetTlogs(), pb.GetCtlogs()...) {
		l.Operator = at[l.GetBaseUrl()]
	}
	for _, a := range append(pb.GetCertificateAuthorities(), pb.GetTimestampAuthorities()...) {
		a.Operator = at[a.GetUri()]
	}
	if raw, err = protojson.Marshal(&pb); err != nil {
		return err
	}
	return os.WriteFile(name, raw, 0o644)
}

// log describes a log whose name is the hash of its key.
func (s *stack) log(name string, key crypto.PublicKey) (*root.TransparencyLog, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(der)
	return &root.TransparencyLog{
		BaseURL: s.fronts.url(name), ID: id[:], ValidityPeriodStart: s.began, HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
	}, nil
}

func writeJSON(name string, v json.Marshaler) error {
	raw, err := v.MarshalJSON()
	if err != nil {
		return err
	}
	return os.WriteFile(name, raw, 0o644)
}
