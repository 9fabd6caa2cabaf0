package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// recordOf is how provenance records a question that was let in. Its source is named by the digest of the base in the fixture.
func recordOf(in SourceInput) string {
	in.Source.Digest = "sha256:" + strings.Repeat("12", 32)
	source, _ := json.Marshal(in.Source)
	signatures, _ := json.Marshal(in.Signatures)
	return `{"source":` + string(source) + `,"signatures":` + string(signatures) + `,"passed":true,"pin":"","denials":[],"warnings":[],"policies":[{"name":"baseline","digest":"sha256:00"}]}`
}

// recordedInput is allowed evidence whose provenance has the records.
func recordedInput(records string) Input {
	in := allowedInput()
	for i := range in.Claims {
		c := &in.Claims[i]
		c.Predicate = json.RawMessage(strings.ReplaceAll(string(c.Predicate), `"sealyard_mode":"cli"`, `"sealyard_sources":`+records))
	}
	return in
}

// sourceRuleAlone is sourceRule in a bundle that has nothing against the image.
func sourceRuleAlone(body string) map[string]string {
	files := sourceRule(body)
	files["a.rego"] = "package sealyard\n\n# METADATA\n# title: U\n# custom: {id: acme-named}\ndeny contains {\"rule\": \"acme-named\", \"message\": \"m\"} if input.image.digest == \"\"\n\nallow := true\n"
	return files
}

// T30: what went into an image is held to the policy of whoever asks, also when its builder's policy let it in.
func TestRecordedSourcesAreJudgedAgain(t *testing.T) {
	strict := load(t, sourceRuleAlone(strings.ReplaceAll(allowsSources, `"evil"`, `"docker.io/library/debian"`)), LoadOptions{})
	for name, c := range map[string]struct {
		in      Input
		allowed bool
		outcome string
	}{
		"nothing recorded": {allowedInput(), true, OutcomeSkip},
		"denied today":     {recordedInput("[" + recordOf(base()) + "]"), false, OutcomeDeny},
		"another source":   {recordedInput("[" + strings.ReplaceAll(recordOf(base()), "library/debian", "library/alpine") + "]"), true, OutcomePass},
	} {
		d, err := DecideAll(t.Context(), []*Bundle{baseline(t, ""), strict}, c.in)
		if err != nil || d.Allowed != c.allowed {
			t.Fatalf("%s: %v %+v", name, err, d.Denials)
		}
		for _, r := range d.Rules {
			if r.Rule == "acme-source" && r.Outcome != c.outcome {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	e, err := strict.Explain(t.Context(), recordedInput("["+recordOf(base())+"]"))
	if err != nil || len(e) != 1 || e[0].Where == "" || len(e[0].Because) == 0 {
		t.Errorf("explained as %+v, %v", e, err)
	}
}

// A source that is asked about twice, by tag and by digest, is remarked on once.
func TestRecordedRemarksAreDistinct(t *testing.T) {
	frontend := base()
	frontend.Source.Frontend, frontend.Source.Name, frontend.Source.URI = true, "docker.io/docker/dockerfile", "docker-image://docker.io/docker/dockerfile:1"
	unnamed := strings.Replace(recordOf(frontend), "sha256:"+strings.Repeat("12", 32), "", 1)
	d := decideOrFail(t, baseline(t, ""), recordedInput("["+strings.Join([]string{recordOf(base()), unnamed, unnamed}, ",")+"]"))
	count := 0
	for _, w := range d.Warnings {
		if w.Rule == "source-frontend-unpinned" {
			count++
		}
	}
	if !d.Allowed || count != 1 {
		t.Errorf("%d remarks: %+v %+v", count, d.Warnings, d.Denials)
	}
}

// R79: a record that no question can be made of is no decision, and one that misses anything never helps.
func TestRecordedSourcesRefused(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("{},", maxRecorded+1), ",")
	for _, bad := range []string{"1", `{"a":1}`, "[1]", "[{}]", `[{"source":{}}]`, `[{"source":{},"signatures":[]}]`, "[" + many + "]", strings.Replace("["+recordOf(base())+"]", `"line":3`, `"line":"3"`, 1)} {
		if d, err := DecideAll(t.Context(), []*Bundle{baseline(t, "")}, recordedInput(bad)); err == nil || d.Allowed {
			t.Errorf("%.60s was judged", bad)
		}
	}
	b := baseline(t, "")
	var doc any
	if err := json.Unmarshal([]byte(recordOf(base())), &doc); err != nil {
		t.Fatal(err)
	}
	for remove := range everyField(doc, "", "") {
		path, restore := remove()
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		d, err := b.Decide(t.Context(), recordedInput("["+string(raw)+"]"))
		restore()
		if helps := err == nil && d.Allowed; helps && (strings.HasPrefix(path, "source") || strings.HasPrefix(path, "passed")) {
			t.Errorf("still allowed without %s", path)
		}
	}
}

// Rules about sources that depend on time are asked at the time of the decision.
func TestRecordedSourcesAreAskedToday(t *testing.T) {
	dated := sourceRuleAlone("deny contains finding if {\n\ttime.parse_rfc3339_ns(input.time) > time.parse_rfc3339_ns(\"2027-01-01T00:00:00Z\")\n\tfinding := {\"rule\": \"acme-source\", \"message\": \"m\"}\n}\nallow := true\n")
	in := recordedInput("[" + recordOf(base()) + "]")
	b := load(t, dated, LoadOptions{})
	if d := decideOrFail(t, b, in); !d.Allowed {
		t.Errorf("denied at its time: %+v", d.Denials)
	}
	in.Time = time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	if d := decideOrFail(t, b, in); d.Allowed {
		t.Error("allowed after the rule began")
	}
}
