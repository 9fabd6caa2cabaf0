package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/policy"
)

// sourceJudge asks the policies about everything that a build would take in, and keeps what they answered: it is evidence.
type sourceJudge struct {
	policies []*policy.Bundle
	time     time.Time
	signers  *baseSigners
	log      io.Writer
	judged   []judgedSource
}

// judgedSource is a question and its answer, as the provenance records them: with the time of the run, it can be asked again.
type judgedSource struct {
	Source     policy.Source       `json:"source"`
	Signatures []policy.Signature  `json:"signatures"`
	Passed     bool                `json:"passed"`
	Pin        string              `json:"pin"`
	Denials    []policy.Finding    `json:"denials"`
	Warnings   []policy.Finding    `json:"warnings"`
	Policies   []map[string]string `json:"policies"` // name and digest of those that were asked

	bundles []policy.BundleInfo
}

// judgeSources makes the build ask, when a policy has a say on sources.
func (g *gate) judgeSources() error {
	if !slices.ContainsFunc(g.policies, (*policy.Bundle).JudgesSources) {
		return nil
	}
	signers, err := g.session.baseSigners(g.policies)
	if err != nil {
		return err
	}
	g.sources = &sourceJudge{policies: g.policies, time: g.now, signers: signers, log: g.log}
	g.plan.Ask = g.sources.ask
	return nil
}

// ask answers one question of the build.
func (j *sourceJudge) ask(ctx context.Context, f build.Fetch) (build.Answer, error) {
	in := policy.SourceInput{SchemaVersion: policy.SchemaVersion, Time: j.time, Source: policy.Source{
		Kind: f.Kind, URI: withoutUser(f.URI), Scheme: f.Scheme, Host: f.Host, Name: f.Name, Tag: f.Tag, Digest: f.Digest, Ref: f.Ref,
		Platform: f.Platform, Frontend: f.Frontend, Context: f.Context, Location: policy.Location{File: f.File, Line: f.Line},
	}}
	var err error
	if in.Signatures, err = j.signers.of(ctx, f); err != nil {
		return build.Answer{}, fmt.Errorf("look for signatures of %q: %w", in.Source.URI, err)
	}
	d, err := policy.DecideSource(ctx, j.policies, in)
	if err != nil {
		return build.Answer{}, err
	}
	s := judgedSource{Source: in.Source, Signatures: in.Signatures, Passed: d.Passed, Pin: d.Pin, Denials: d.Denials, Warnings: d.Warnings, bundles: d.Bundles}
	for _, b := range d.Bundles {
		s.Policies = append(s.Policies, map[string]string{"name": b.Name, "digest": b.Digest})
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(j.log, "   %s: %s\n", report.Clean(w.Rule), report.Clean(w.Message))
	}
	j.judged = append(j.judged, s)
	return build.Answer{Allow: d.Passed, Pin: d.Pin}, nil
}

// record is what was judged, for the provenance: nothing when nobody judges sources. The order of questions is the engine's, so it is not kept.
func (j *sourceJudge) record() (json.RawMessage, error) {
	if j == nil {
		return nil, nil
	}
	lines := make([]string, 0, len(j.judged))
	for _, s := range j.judged {
		for _, list := range []*[]policy.Finding{&s.Denials, &s.Warnings} {
			*list = append([]policy.Finding{}, *list...)
		}
		s.Signatures = append([]policy.Signature{}, s.Signatures...)
		raw, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		lines = append(lines, string(raw))
	}
	slices.Sort(lines)
	return json.RawMessage("[" + strings.Join(slices.Compact(lines), ",") + "]"), nil
}

// denial is the decision of a build that was stopped at a source.
func (j *sourceJudge) denial() (policy.Decision, error) {
	d := policy.Decision{Time: j.time.UTC().Truncate(time.Second)}
	for _, s := range j.judged {
		d.Denials, d.Warnings = append(d.Denials, s.Denials...), append(d.Warnings, s.Warnings...)
		for i, b := range s.bundles {
			if len(d.Bundles) <= i {
				d.Bundles = append(d.Bundles, b)
			}
			if !b.Allowed {
				d.Bundles[i].Allowed = false
			}
		}
	}
	if len(d.Denials) == 0 {
		return d, errors.New("a source was denied, and no policy says why")
	}
	raw, err := j.record()
	d.InputDigest = sha256of(raw)
	return d, err
}

// stopped ends a run whose build was stopped at a source: nothing was built, so the evidence is what was asked and answered.
func (g *gate) stopped() (string, error) {
	d, err := g.sources.denial()
	if err != nil {
		return "", err
	}
	g.decision = d
	g.report.Decision, g.report.Decided = d, true
	g.report.Dockerfile = g.dockerfile()
	for _, f := range d.Denials {
		if f.Location.File != "" {
			g.inContext = f.Location.File
		}
	}
	doc, err := d.JSON()
	if err != nil {
		return "", err
	}
	record, err := g.sources.record()
	if err != nil {
		return "", err
	}
	files := map[string][]byte{
		decisionFile: indented(doc), "sources.json": indented(record), "README.md": []byte(stoppedReadme),
		// of no image, so that the directory is known to be evidence
		"../oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "../index.json": []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`),
	}
	for _, b := range g.policies {
		files["policy/"+b.Name()+".tar.gz"] = b.Archive()
	}
	for name, content := range files {
		if err := g.stage.file(name, content); err != nil {
			return "", err
		}
	}
	return "stopped: " + report.Plural(len(d.Denials), "reason"), g.views(g.stage)
}
