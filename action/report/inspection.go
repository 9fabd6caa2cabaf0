package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Inspection is what an image is and what there is about it, verified or not. It is the JSON document that is written of it,
// described in docs/json.md.
type Inspection struct {
	SchemaVersion string              `json:"schemaVersion"`
	Version       string              `json:"version"`
	Checked       bool                `json:"checked"` // whether it was said whom to believe
	Source        InspectedSource     `json:"source"`
	Build         InspectedBuild      `json:"build"`
	Image         InspectedImage      `json:"image"`
	Platforms     []InspectedPlatform `json:"platforms"`
	Claims        []InspectedClaim    `json:"claims"`
	Policies      []InspectedAttached `json:"policies"`
	Unsigned      []InspectedUnsigned `json:"unsigned"`
	Others        []InspectedAttached `json:"others"`
}

// InspectedSource is where the image comes from, as its provenance says.
type InspectedSource struct {
	Repository string `json:"repository"`
	Ref        string `json:"ref"`
	Commit     string `json:"commit"`
	Verified   bool   `json:"verified"`
}

// InspectedBuild is who built it, as its provenance says.
type InspectedBuild struct {
	Builder  string `json:"builder"`
	Type     string `json:"type"`
	Run      string `json:"run"`
	Started  string `json:"started"`
	Verified bool   `json:"verified"`
}

// InspectedImage is the index, or the one manifest.
type InspectedImage struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
}

// InspectedPlatform is a manifest that can run.
type InspectedPlatform struct {
	Platform string `json:"platform"`
	Digest   string `json:"digest"`
	Size     int64  `json:"size"` // compressed bytes of all layers
}

// InspectedClaim is a bundle that is attached to the image or to parts of it.
type InspectedClaim struct {
	PredicateType string   `json:"predicateType"`
	Statement     string   `json:"statement"`
	Result        string   `json:"result"` // of a decision: PASSED, WARNED, FAILED
	Subjects      []string `json:"subjects"`
	AttachedTo    []string `json:"attachedTo"`
	Artifacts     []string `json:"artifacts"` // digests of the manifests that attach it
	Signer        Signer   `json:"signer"`
	Time          string   `json:"time"`
	Size          int64    `json:"size"` // bytes of the bundle
	Verified      bool     `json:"verified"`
	Reason        string   `json:"reason"` // why not
}

// InspectedUnsigned is what others keep about the image in ways that prove nothing here.
type InspectedUnsigned struct {
	Kind           string   `json:"kind"` // buildkit, cosign-signature, cosign-attestation or cosign-sbom
	Digest         string   `json:"digest"`
	Subject        string   `json:"subject"`
	PredicateTypes []string `json:"predicateTypes"`
	Size           int64    `json:"size"`
}

// InspectedAttached is anything else that is attached.
type InspectedAttached struct {
	Type    string `json:"type"`
	Digest  string `json:"digest"`
	Subject string `json:"subject"`
	Size    int64  `json:"size"`
}

// JSON writes the document, as JSON writes a run's.
func (i Inspection) JSON(w io.Writer) error {
	i.Platforms, i.Claims, i.Policies = list(i.Platforms), slices.Clone(list(i.Claims)), list(i.Policies)
	i.Unsigned, i.Others = slices.Clone(list(i.Unsigned)), list(i.Others)
	for n := range i.Claims {
		i.Claims[n].Subjects = list(i.Claims[n].Subjects)
	}
	for n := range i.Unsigned {
		i.Unsigned[n].PredicateTypes = list(i.Unsigned[n].PredicateTypes)
	}
	return writeJSON(w, i)
}

// A branch is a line of a tree, what more there is to say of it, and what hangs on it.
type branch struct {
	text string
	more []string
	next []*branch
}

func (b *branch) add(next ...*branch) { b.next = append(b.next, next...) }

func (b *branch) write(w *strings.Builder, first, rest string) {
	w.WriteString(first + Clean(b.text) + "\n")
	bar := "  "
	if len(b.next) > 0 {
		bar = "│ "
	}
	for _, m := range b.more {
		w.WriteString(rest + bar + Clean(m) + "\n")
	}
	for n, next := range b.next {
		if n == len(b.next)-1 {
			next.write(w, rest+"└─ ", rest+"   ")
		} else {
			next.write(w, rest+"├─ ", rest+"│  ")
		}
	}
}

// Text writes it as a tree: from the source to the build, the image, its platforms and what is claimed of them.
func (i Inspection) Text(w io.Writer) error {
	source := &branch{text: "source  " + i.Source.line()}
	build := &branch{text: "build  " + i.Build.line()}
	if i.Build.Run != "" {
		build.more = []string{"run " + i.Build.Run}
	}
	image := &branch{text: "image  " + i.Image.Digest, more: []string{i.Image.MediaType}}
	source.add(build)
	build.add(image)
	image.add(i.about(i.Image.Digest)...)
	for _, p := range i.Platforms {
		part := &branch{text: p.Platform + "  " + p.Digest, more: []string{size(p.Size) + " of layers"}}
		if p.Digest != i.Image.Digest {
			part.add(i.about(p.Digest)...)
		}
		image.add(part)
	}
	var b strings.Builder
	source.write(&b, "", "")
	b.WriteString("\n" + i.verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (i Inspection) verdict() string {
	good := 0
	for _, c := range i.Claims {
		if c.Verified {
			good++
		}
	}
	if !i.Checked {
		return "nothing above is verified: give --key, or --trusted-root and an identity; sealyard verify decides"
	}
	return fmt.Sprintf("%d of %s verified; sealyard verify decides whether that is enough", good, Plural(len(i.Claims), "claim"))
}

func (s InspectedSource) line() string {
	if s.Repository == "" && s.Commit == "" {
		return "not stated"
	}
	return s.Repository + listed(s.Ref) + listed(s.Commit) + marked(s.Verified)
}

func (b InspectedBuild) line() string {
	if b.Builder == "" {
		return "not stated"
	}
	return b.Builder + listed(b.Started) + marked(b.Verified)
}

func listed(s string) string {
	if s == "" {
		return ""
	}
	return ", " + s
}

func marked(verified bool) string {
	if verified {
		return "  [verified]"
	}
	return "  [not verified]"
}

// about is what hangs on one manifest. A claim about the whole image hangs on the image; on its platforms it is the same.
func (i Inspection) about(digest string) []*branch {
	var out []*branch
	for _, c := range i.Claims {
		if c.AttachedTo[0] == digest {
			out = append(out, c.branch(i.Checked))
		}
	}
	for _, a := range i.Policies {
		if a.Subject == digest {
			out = append(out, &branch{text: "policy bundles", more: []string{a.Type + " " + a.Digest}})
		}
	}
	for _, u := range i.Unsigned {
		if u.Subject == digest {
			out = append(out, u.branch())
		}
	}
	for _, a := range i.Others {
		if a.Subject == digest {
			out = append(out, &branch{text: "other  " + a.Type, more: []string{a.Digest}})
		}
	}
	return out
}

func (c InspectedClaim) branch(checked bool) *branch {
	word := c.PredicateType
	if word == "" {
		word = "no statement"
	}
	if c.Result != "" {
		word = "decision " + c.Result + "  " + word
	}
	b := &branch{text: word + marked(c.Verified)}
	if c.Signer.Kind != "" {
		b.more = append(b.more, "by "+c.Signer.String())
	}
	facts := size(c.Size) + listed(c.Time)
	if n := len(c.AttachedTo); n > 1 {
		facts += fmt.Sprintf(", attached to %d manifests", n)
	}
	b.more = append(b.more, facts)
	if checked && !c.Verified {
		b.more = append(b.more, c.Reason)
	}
	return b
}

func (u InspectedUnsigned) branch() *branch {
	words := map[string]string{
		"buildkit": "unsigned, by BuildKit", "cosign-signature": "legacy cosign signature, not read", "cosign-attestation": "legacy cosign attestation, not read",
		"cosign-sbom": "legacy cosign SBOM, unsigned",
	}
	b := &branch{text: words[u.Kind] + "  " + u.Digest}
	if len(u.PredicateTypes) > 0 {
		b.more = []string{strings.Join(u.PredicateTypes, ", ")}
	}
	return b
}
