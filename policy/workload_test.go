package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

const typeWorkloads = "https://github.com/sealyard/sealyard/blob/main/docs/predicates/workloads-v1.md"

// workloadJSON is what package workload makes of manifests that no rule finds anything in.
const workloadJSON = `{"files":[{"name":"deploy/app.yaml","digest":{"sha256":"1414141414141414141414141414141414141414141414141414141414141414"}}],"documents":[
{"file":"deploy/app.yaml","line":1,"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"app","runs":"pods","pod":{"spec":{
"automountServiceAccountToken":false,"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[{"line":20,"name":"app",
"image":"ghcr.io/acme/app@sha256:1313131313131313131313131313131313131313131313131313131313131313",
"securityContext":{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{"drop":["ALL"]}},
"resources":{"requests":{"cpu":"100m","memory":"64Mi"},"limits":{"cpu":"1","memory":"64Mi"}},"livenessProbe":{"exec":{}},"readinessProbe":{"exec":{}}}]}}},
{"file":"deploy/network.yaml","line":1,"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","namespace":"shop","name":"deny","runs":"nothing",
"networkPolicy":{"everyPod":true,"policyTypes":["Ingress","Egress"]}},
{"file":"deploy/web.yaml","line":1,"apiVersion":"networking.k8s.io/v1","kind":"Ingress","namespace":"shop","name":"web","runs":"nothing",
"ingress":{"hosts":["shop.example.com"],"tls":["shop.example.com"]}}]}`

// workloadInput is allowedInput with manifests.
func workloadInput() Input {
	in := allowedInput()
	c := Claim{PredicateType: typeWorkloads, Subjects: []string{in.Image.Digest}, Digest: digestN(0x15), Signer: in.Claims[0].Signer, Predicate: json.RawMessage(workloadJSON)}
	for _, p := range in.Image.Platforms {
		c.Subjects = append(c.Subjects, p.Digest)
	}
	in.Claims = append(in.Claims, c)
	return in
}

// R79 R91: of what is claimed about manifests every field that a rule needs must be there, at the strictest settings.
func TestRemoveOneOfManifests(t *testing.T) {
	b := baseline(t, `{"workloadWarnings": [], "requiredEvidence": ["provenance", "sbom", "vulns", "workloads"]}`)
	doc, err := decodeAny(mustJSON(t, workloadInput()))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := asked(t, b, doc); err != nil || !d.Allowed {
		t.Fatalf("the whole input is not allowed: %v %+v", err, d.Denials)
	}
	const at = "claims." + typeWorkloads + ".documents."
	optional := map[string]string{
		at + "name":                     "helps a reader, decides nothing",
		at + "pod.spec.containers.line": "the line of the object is shown instead", at + "pod.spec.containers.name": "helps a reader, decides nothing",
		at + "pod.spec.containers.resources.requests":        "a limit counts as a request",
		at + "pod.spec.containers.resources.requests.cpu":    "a limit counts as a request",
		at + "pod.spec.containers.resources.requests.memory": "a limit counts as a request",
		at + "pod.spec.containers.livenessProbe.exec":        "what kind of probe it is no rule judges",
		at + "pod.spec.containers.readinessProbe.exec":       "what kind of probe it is no rule judges",
		at + "ingress.hosts":                                 "without hosts nothing is served",
	}
	tried := 0
	for remove := range everyField(doc, "", "") {
		path, restore := remove()
		if !strings.HasPrefix(path, "claims."+typeWorkloads) {
			restore()
			continue
		}
		tried++
		d, err := asked(t, b, doc)
		restore()
		if (err != nil || !d.Allowed) == (optional[path] != "") && path != at+"namespace" {
			t.Errorf("without %s: error %v, allowed %v; optional: %q", path, err, d.Allowed, optional[path])
		}
	}
	if tried < 40 {
		t.Errorf("only %d removals were tried", tried)
	}
}

// Manifests come as a claim, so that an input without them is the same bytes as before there were any: what was decided then is
// decided again in the same way. And the rules about manifests that may be named in settings are those that there are.
func TestManifestsAreAClaim(t *testing.T) {
	before, with := mustJSON(t, allowedInput()), workloadInput()
	with.Claims = slices.DeleteFunc(with.Claims, func(c Claim) bool { return c.PredicateType == typeWorkloads })
	if string(mustJSON(t, with)) != string(before) {
		t.Error("the input differs without its claim about manifests")
	}
	b := baseline(t, "")
	var rules []string
	for _, r := range b.Rules() {
		if strings.HasPrefix(r.ID, "pss-") || strings.HasPrefix(r.ID, "workload-") {
			rules = append(rules, r.ID)
		}
	}
	data, err := baselineFS.ReadFile("baseline/data.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	if enum := s.Properties["workloadWarnings"].Items.Enum; !slices.Equal(slices.Sorted(slices.Values(enum)), rules) {
		t.Errorf("workloadWarnings may name %v, the rules are %v", enum, rules)
	}
	d := decideOrFail(t, b, allowedInput())
	for _, r := range d.Rules {
		if slices.Contains(rules, r.Rule) && (r.Outcome != OutcomeSkip || r.Reason == "") {
			t.Errorf("without manifests %s is %s (%s)", r.Rule, r.Outcome, r.Reason)
		}
	}
}
