package action_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sealyard/sealyard/internal/testkit"
	"github.com/sealyard/sealyard/oci"
)

const (
	typeBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	typePolicy = "application/vnd.sealyard.policy.v1"
)

// descriptor is an entry of index.json or of a manifest.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant,omitempty"`
	} `json:"platform,omitempty"`
}

// manifest is an index or a manifest, as far as tampering needs to know it.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType,omitempty"`
	ArtifactType  string       `json:"artifactType,omitempty"`
	Config        *descriptor  `json:"config,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Subject       *descriptor  `json:"subject,omitempty"`

	Annotations map[string]string `json:"annotations,omitempty"`
}

// layout is an OCI image layout that somebody has write access to.
type layout string

func (l layout) path(digest string) string {
	return filepath.Join(string(l), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

func (l layout) read(file string) (m manifest, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(raw, &m)
}

func (l layout) top() (manifest, error) { return l.read(filepath.Join(string(l), "index.json")) }

// subjects returns the digest of the image index under "index", and of each manifest under its platform.
func (l layout) subjects() (map[string]string, error) {
	top, err := l.top()
	if err != nil {
		return nil, err
	}
	out := map[string]string{"index": top.Manifests[0].Digest}
	index, err := l.read(l.path(out["index"]))
	for _, d := range index.Manifests {
		out[d.Platform.OS+"/"+d.Platform.Architecture] = d.Digest
	}
	return out, err
}

// artifact is what is attached to one subject.
type artifact struct {
	subject   string // digest
	kind      string // the predicate it is annotated with, else its type
	digest    string
	layer     string // digest of its first layer
	mediaType string
}

func (l layout) artifacts() ([]artifact, error) {
	top, err := l.top()
	if err != nil {
		return nil, err
	}
	var out []artifact
	for _, d := range top.Manifests[1:] {
		m, err := l.read(l.path(d.Digest))
		if err != nil {
			return nil, err
		}
		a := artifact{subject: m.Subject.Digest, kind: m.ArtifactType, digest: d.Digest, layer: m.Layers[0].Digest, mediaType: m.ArtifactType}
		if p := m.Annotations["dev.sigstore.bundle.predicateType"]; p != "" {
			a.kind = p
		}
		out = append(out, a)
	}
	return out, nil
}

// attached finds the one artifact of a kind that is attached to a subject: index or a platform.
func (l layout) attached(subject, kind string) (artifact, error) {
	subjects, err := l.subjects()
	if err != nil {
		return artifact{}, err
	}
	all, err := l.artifacts()
	i := slices.IndexFunc(all, func(a artifact) bool { return a.subject == subjects[subject] && a.kind == kind })
	if err == nil && i < 0 {
		err = fmt.Errorf("%s: no %s is attached to %s", l, kind, subject)
	}
	if err != nil {
		return artifact{}, err
	}
	return all[i], nil
}

// detach takes an artifact out: its line in index.json, its manifest, and its content if nothing else is made of it.
func (l layout) detach(a artifact) error {
	file := filepath.Join(string(l), "index.json")
	top, err := l.top()
	if err != nil {
		return err
	}
	top.Manifests = slices.DeleteFunc(top.Manifests, func(d descriptor) bool { return d.Digest == a.digest })
	raw, err := json.Marshal(top)
	if err != nil {
		return err
	}
	all, err := l.artifacts()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(b artifact) bool { return b.digest != a.digest && b.layer == a.layer }) {
		err = os.Remove(l.path(a.layer))
	}
	return errors.Join(err, os.Remove(l.path(a.digest)), os.WriteFile(file, raw, 0o644))
}

// attach adds a bundle as anybody with write access can.
func (l layout) attach(digest, mediaType string, content []byte) error {
	dir, err := oci.OpenDir(string(l))
	if err != nil {
		return err
	}
	defer dir.Close()
	_, err = dir.Attach(context.Background(), digest, oci.Artifact{Type: mediaType, Layers: []oci.Layer{{MediaType: mediaType, Content: content}}})
	return err
}

// blob VAR LAYOUT WHAT: sets VAR to the path of the blob that is the image's index, manifest, config or layer (of the first
// platform), or, as SUBJECT KIND, of a bundle attached to index or a platform.
func blobOf(ts *testscript.TestScript, _ bool, args []string) {
	l := layout(ts.MkAbs(args[1]))
	if len(args) == 4 {
		a, err := l.attached(args[2], predicate(args[3]))
		ts.Check(err)
		ts.Setenv(args[0], l.path(a.layer))
		return
	}
	top, err := l.top()
	ts.Check(err)
	index, err := l.read(l.path(top.Manifests[0].Digest))
	ts.Check(err)
	m, err := l.read(l.path(index.Manifests[0].Digest))
	ts.Check(err)
	digest, ok := map[string]string{
		"index": top.Manifests[0].Digest, "manifest": index.Manifests[0].Digest, "config": m.Config.Digest, "layer": m.Layers[0].Digest,
	}[args[2]]
	if !ok {
		ts.Fatalf("no blob is called %s", args[2])
	}
	ts.Setenv(args[0], l.path(digest))
}

// predicate writes out the short names that scripts use.
func predicate(short string) string {
	long, ok := map[string]string{
		"provenance": "https://slsa.dev/provenance/v1", "spdx": "https://spdx.dev/Document", "cyclonedx": "https://cyclonedx.org/bom",
		"vulns": "https://in-toto.io/attestation/vulns/v0.2", "decision": "https://in-toto.io/attestation/test-result/v0.1", "policy": typePolicy,
	}[short]
	if !ok {
		return short
	}
	return long
}

// flip FILE: changes one bit in the middle.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	raw := []byte(ts.ReadFile(args[0]))
	raw[len(raw)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o644))
}

// trim FILE N: cuts the last N bytes off; a negative N adds bytes.
func trim(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), int64(len(ts.ReadFile(args[0]))-n)))
}

// detach LAYOUT SUBJECT KIND: removes what is attached.
func detach(ts *testscript.TestScript, _ bool, args []string) {
	l := layout(ts.MkAbs(args[0]))
	a, err := l.attached(args[1], predicate(args[2]))
	ts.Check(err)
	ts.Check(l.detach(a))
}

// attach LAYOUT SUBJECT FILE: attaches the file as a bundle.
func attach(ts *testscript.TestScript, _ bool, args []string) {
	l := layout(ts.MkAbs(args[0]))
	subjects, err := l.subjects()
	ts.Check(err)
	ts.Check(l.attach(subjects[args[1]], typeBundle, []byte(ts.ReadFile(args[2]))))
}

// edit LAYOUT SUBJECT KIND OLD NEW: replaces text in what a bundle says, and leaves its signature. Every digest of the layout
// holds afterwards: this is not damage but an attack.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	l := layout(ts.MkAbs(args[0]))
	a, err := l.attached(args[1], predicate(args[2]))
	ts.Check(err)
	raw, err := os.ReadFile(l.path(a.layer))
	ts.Check(err)
	edited, err := editBundle(raw, args[3], args[4])
	ts.Check(err)
	ts.Check(l.detach(a))
	ts.Check(l.attach(a.subject, typeBundle, edited))
}

func editBundle(raw []byte, old, new string) ([]byte, error) {
	var bundle map[string]any
	if err := json.Unmarshal(raw, &bundle); err != nil {
		return nil, err
	}
	envelope, ok := bundle["dsseEnvelope"].(map[string]any)
	if !ok {
		return nil, errors.New("no envelope")
	}
	payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(payload, []byte(old)) {
		return nil, fmt.Errorf("%q is not in %s", old, payload)
	}
	envelope["payload"] = base64.StdEncoding.EncodeToString(bytes.ReplaceAll(payload, []byte(old), []byte(new)))
	return json.Marshal(bundle)
}

// save LAYOUT FILE [packed]: writes what docker save writes of the image's first platform: a manifest, the configuration, layers
// unpacked, or packed as crane leaves them.
func save(ts *testscript.TestScript, _ bool, args []string) {
	l := layout(ts.MkAbs(args[0]))
	top, err := l.top()
	ts.Check(err)
	index, err := l.read(l.path(top.Manifests[0].Digest))
	ts.Check(err)
	m, err := l.read(l.path(index.Manifests[0].Digest))
	ts.Check(err)
	config, err := os.ReadFile(l.path(m.Config.Digest))
	ts.Check(err)
	list := map[string]any{"Config": "config.json", "RepoTags": []string{"example.test/app:1"}}
	entries := [][2]string{{"config.json", string(config)}}
	var names []string
	for i, d := range m.Layers {
		f, err := os.Open(l.path(d.Digest))
		ts.Check(err)
		var r io.Reader = f
		if len(args) == 2 {
			r, err = gzip.NewReader(f)
			ts.Check(err)
		}
		raw, err := io.ReadAll(r)
		ts.Check(errors.Join(err, f.Close()))
		names = append(names, fmt.Sprintf("%d/layer.tar", i))
		entries = append(entries, [2]string{names[i], string(raw)})
	}
	list["Layers"] = names
	raw, err := json.Marshal([]any{list})
	ts.Check(err)
	ts.Check(writeTar(ts.MkAbs(args[1]), append(entries, [2]string{"manifest.json", string(raw)})...))
}

// push LAYOUT REFERENCE: puts a layout, whatever its state, into a registry.
func push(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(pushLayout(ts.MkAbs(args[0]), args[1]))
}

func pushLayout(from, ref string) error {
	dir, err := oci.OpenDir(from)
	if err != nil {
		return err
	}
	defer dir.Close()
	remote, err := oci.NewRemote(oci.RemoteOptions{})
	if err != nil {
		return err
	}
	defer remote.Close()
	ctx := context.Background()
	img, err := dir.Resolve(ctx, "")
	if err != nil {
		return err
	}
	return errors.Join(remote.Push(ctx, dir, img, ref), remote.Tag(ctx, img, []string{ref}))
}

// referrers FILE REPO LAYOUT: writes what the repository lists as attached to each part of the image in a layout, a line each.
func referrers(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := oci.OpenDir(ts.MkAbs(args[2]))
	ts.Check(err)
	defer dir.Close()
	ctx := context.Background()
	img, err := dir.Resolve(ctx, "")
	ts.Check(err)
	remote, err := oci.NewRemote(oci.RemoteOptions{})
	ts.Check(err)
	defer remote.Close()
	repo, err := remote.Repository(args[1])
	ts.Check(err)
	parts := []string{img.Digest}
	for _, p := range img.Platforms {
		parts = append(parts, p.Digest)
	}
	var lines []string
	for _, part := range parts {
		found, err := repo.Attached(ctx, part, "")
		ts.Check(err)
		for _, a := range found {
			lines = append(lines, part+" "+a.Digest+"\n")
		}
	}
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(lines, "")), 0o644))
}

// proxy VAR HOW [N]: sets VAR to a repository that is $REPO behind a proxy which misbehaves.
func proxy(t testing.TB) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		host, name, _ := strings.Cut(ts.Getenv("REPO"), "/")
		n := 1
		if len(args) > 2 {
			var err error
			n, err = strconv.Atoi(args[2])
			ts.Check(err)
		}
		rule, ok := map[string]testkit.Rule{
			"passes":         {Method: "NONE"},
			"dies-at-upload": {Method: "PUT", First: n, Die: true},
			"dies-at-tag":    {Method: "PUT", Path: regexp.MustCompile(`/manifests/[^s][^/]*$`), Die: true},
			"stalls":         {Method: "PUT", Path: regexp.MustCompile(`/manifests/sha256:`), Delay: time.Minute},
			"silent":         {Method: "GET", Path: regexp.MustCompile(`/manifests/`), Delay: time.Minute},
			"limits":         {Method: "GET", Path: regexp.MustCompile(`/manifests/`), Times: n, Status: 429, Header: map[string][]string{"Retry-After": {"1"}}},
			"flips":          {Method: "GET", Path: regexp.MustCompile(`/blobs/`), Flip: true},
			"drops-evidence": {Method: "GET", Path: regexp.MustCompile(`/referrers/`), Status: 200, Header: map[string][]string{"Content-Type": {"application/vnd.oci.image.index.v1+json"}}, Body: `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`},
		}[args[1]]
		if args[1] == "locked" {
			host, rule, ok = locked(t, host), testkit.Rule{Method: "NONE"}, true
		}
		if !ok {
			ts.Fatalf("no proxy %s", args[1])
		}
		p := testkit.Flaky(t, host, rule)
		proxies.Store(p.Addr, p)
		ts.Setenv(args[0], p.Addr+"/"+name)
	}
}

// locked puts a door before a registry, to which ada has the key.
func locked(t testing.TB, backend string) string {
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: backend})
		r.Out.Host = r.In.Host
	}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "lovelace" {
			w.Header().Set("Www-Authenticate", `Basic realm="door"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`, http.StatusUnauthorized)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// [!] told REPO: the proxy of a repository was sent credentials.
func told(ts *testscript.TestScript, neg bool, args []string) {
	host, _, _ := strings.Cut(args[0], "/")
	p, ok := proxies.Load(host)
	if !ok {
		ts.Fatalf("no proxy at %s", host)
	}
	for _, r := range p.(*testkit.Proxy).Requests() {
		if (r.Authorization != "") == neg {
			ts.Fatalf("request %v", r)
		}
	}
}

var proxies sync.Map // address => *testkit.Proxy

// [!] asked REPO: waits until the proxy of a repository was asked for something, or holds that it never was.
func asked(ts *testscript.TestScript, neg bool, args []string) {
	host, _, _ := strings.Cut(args[0], "/")
	p, ok := proxies.Load(host)
	if !ok {
		ts.Fatalf("no proxy at %s", host)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		seen := p.(*testkit.Proxy).Requests()
		switch {
		case neg && len(seen) == 0, !neg && len(seen) > 0:
			return
		case neg || time.Now().After(deadline):
			ts.Fatalf("requests: %v", seen)
		}
	}
}

// sends REPO N: the proxy of a repository has let through that many requests that put something there.
func sends(ts *testscript.TestScript, _ bool, args []string) {
	host, _, _ := strings.Cut(args[0], "/")
	p, ok := proxies.Load(host)
	if !ok {
		ts.Fatalf("no proxy at %s", host)
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := p.(*testkit.Proxy).Count("PUT", regexp.MustCompile("")); got != n {
		ts.Fatalf("%d, not %d", got, n)
	}
}

// within ONE TWO: every line of the first file is in the second.
func within(ts *testscript.TestScript, _ bool, args []string) {
	whole := ts.ReadFile(args[1])
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if !strings.Contains(whole, line) {
			ts.Fatalf("%s has no %s", args[1], line)
		}
	}
}

// writeTar writes an archive of these names and contents.
func writeTar(file string, entries ...[2]string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(f)
	for _, e := range entries {
		err = errors.Join(err, tw.WriteHeader(&tar.Header{Name: e[0], Mode: 0o644, Size: int64(len(e[1]))}))
		_, werr := io.WriteString(tw, e[1])
		err = errors.Join(err, werr)
	}
	return errors.Join(err, tw.Close(), f.Close())
}
