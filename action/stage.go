package action

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
)

// Files of the evidence, below the layout.
const (
	evidenceDir  = "evidence"
	decisionFile = "decision.json"
	rootsFile    = "trusted_root.json"
)

// stage is the directory that a run fills under another name and moves into place when it is whole.
type stage struct {
	dir    string // where the run writes
	target string // where it goes
	kept   bool
}

// evidencePath is where the evidence goes.
func (s *session) evidencePath(otherwise string) string {
	return cmp.Or(s.in.one("evidence-path"), otherwise)
}

// newStage makes the directory beside its target. A target that exists is replaced in the end, if it is the evidence of an earlier
// run or empty; anything else there is not ours to remove.
func newStage(target string) (*stage, error) {
	target = filepath.Clean(target)
	if !replaceable(target) {
		return nil, hint.Misuse(fmt.Errorf("--evidence-path %q holds something else", target), "name a directory that does not exist")
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("evidence-path: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(target), ".sealyard-")
	if err != nil {
		return nil, fmt.Errorf("evidence-path: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("evidence-path: %w", err), os.RemoveAll(dir))
	}
	return &stage{dir: dir, target: target}, nil
}

func replaceable(target string) bool {
	entries, err := os.ReadDir(target)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return true
	}
	_, err = os.Stat(filepath.Join(target, evidenceDir, decisionFile))
	_, layout := os.Stat(filepath.Join(target, "oci-layout"))
	return err == nil && layout == nil
}

// discard removes what was not kept.
func (s *stage) discard() {
	if !s.kept {
		os.RemoveAll(s.dir)
	}
}

// keep moves the directory to its target.
func (s *stage) keep() error {
	old := s.dir + ".old"
	err := os.Rename(s.target, old)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("evidence-path: %w", err)
	}
	replaced := err == nil
	if err := os.Rename(s.dir, s.target); err != nil {
		if replaced {
			err = errors.Join(err, os.Rename(old, s.target))
		}
		return fmt.Errorf("evidence-path: %w", err)
	}
	s.kept = true
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("evidence-path: %w", err)
	}
	return nil
}

// write puts everything that the decision was made from beside the layout, for people and for programs.
func (s *stage) write(e evidence, in policy.Input, d policy.Decision, r scan.Report, readme string) error {
	doc, err := d.JSON()
	if err != nil {
		return err
	}
	input, err := in.JSON()
	if err != nil {
		return err
	}
	r.DB.Path, r.DB.Source = "", vulnDB(r.DB).URI // not where it is on this machine, nor what opens the mirror
	db, err := json.MarshalIndent(r.DB, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		decisionFile: indented(doc), "input.json": input, "database.json": append(db, '\n'), "README.md": []byte(readme),
	}
	for _, b := range e.policies {
		files["policy/"+b.Name()+".tar.gz"] = b.Archive()
	}
	if e.exceptions != nil {
		files[exceptionsFile] = e.exceptions.JSON()
	}
	if r.SPDX != nil {
		files["sbom/index.spdx.json"], files["sbom/index.cdx.json"] = r.SPDX, r.CycloneDX
	}
	for _, p := range r.Platforms {
		name := "sbom/" + fileName(p.Platform)
		files[name+".spdx.json"], files[name+".cdx.json"] = p.SPDX, p.CycloneDX
	}
	for name, content := range files {
		if err := s.file(name, content); err != nil {
			return err
		}
	}
	return nil
}

// fileName makes a file name of a platform, which may be an image's own word.
func fileName(platform string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, platform)
}

// provenance keeps what BuildKit itself wrote about each platform: our provenance names it by digest.
func (s *stage) provenance(platform string, content []byte) error {
	return s.file("buildkit/"+fileName(platform)+".provenance.json", content)
}

// publicKey keeps the public half of the signing key, for whoever opens the directory. Verifying never reads it: a key must come
// from somewhere else than the evidence.
func (s *stage) publicKey(k *attest.Key) error {
	pem, err := k.PublicKey()
	if err != nil {
		return err
	}
	return s.file("signer.pub", pem)
}

// trustedRoots keeps the roots that the signatures were checked with, for the same reader. Verifying never reads them either.
func (s *stage) trustedRoots(names []string) error {
	var all []byte
	for _, name := range names {
		raw, err := readFile(name)
		if err != nil {
			return err
		}
		all = append(append(all, bytes.TrimSpace(raw)...), '\n')
	}
	return s.file(rootsFile, all)
}

func (s *stage) file(name string, content []byte) error {
	path := filepath.Join(s.dir, evidenceDir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	return nil
}

func indented(doc []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return doc
	}
	b.WriteByte('\n')
	return b.Bytes()
}
