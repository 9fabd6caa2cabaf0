package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/sealyard/sealyard/internal/hint"
)

func ownerPub() []File {
	_, public := pair()
	return []File{{Name: "owner.pub", Data: public}}
}

// aLayout is a layout for aPipeline, signed by its owner, who also takes the steps, after a change to what is signed.
func aLayout(t testing.TB, change func(string) string) []byte {
	t.Helper()
	doc, err := NewLayout(LayoutPlan{Platforms: []string{"linux/amd64", "linux/arm64"}, Policies: []string{"baseline"}, Functionary: ownerPub(), Expires: someTime.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		doc = []byte(change(string(doc)))
	}
	return doc
}

// forcedSignature signs whatever a layout says, also what SignLayout refuses: as a DSSE envelope over its exact bytes.
func forcedSignature(t testing.TB, doc []byte) []byte {
	t.Helper()
	var w struct{ Signed json.RawMessage }
	if err := json.Unmarshal(doc, &w); err != nil {
		t.Fatal(err)
	}
	sig, err := signingKey().signer.SignMessage(bytes.NewReader(dsse.PAE(payloadType, w.Signed)))
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[{"keyid":"","sig":%q}]}`, payloadType, b64(w.Signed), b64(sig))
}

func verifiedLinks(t testing.TB, r Run) []Verified {
	t.Helper()
	var out []Verified
	for _, st := range linksOf(t, r) {
		v, err := keyTrust(t).Verify(signed(t, st), indexDigest)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.ReplaceAll(s, old, new) }
}

// R33 R34 R35 R36 R38 T41: a layout that could not decide, or means other things to other tools, is the owner's mistake and not loaded,
// however well it is signed.
func TestLayoutRefused(t *testing.T) {
	pub := strings.ReplaceAll(string(ownerPub()[0].Data), "\n", `\n`)
	for name, c := range map[string]struct {
		change func(string) string
		want   string
	}{
		"good":               {nil, ""},
		"threshold 0":        {replace(`"threshold": 1`, `"threshold": 0`), "threshold 0: nobody"},
		"threshold -1":       {replace(`"threshold": 1`, `"threshold": -1`), "threshold -1"},
		"threshold 2 of 1":   {replace(`"threshold": 1`, `"threshold": 2`), "threshold 2 of 1 functionaries"},
		"threshold text":     {replace(`"threshold": 1`, `"threshold": "1"`), "threshold"},
		"nobody":             {func(s string) string { return cutList(s, `"pubkeys": [`) }, "threshold 1 of 0"},
		"stranger":           {func(s string) string { return firstKey(s, strings.Repeat("ab", 32)) }, "no such key"},
		"open rules":         {replace(`"DISALLOW"`, `"ALLOW"`), "do not end with DISALLOW *"},
		"rules end narrower": {replace(`"*"`, `"*x"`), "do not end with DISALLOW *"},
		"no rules":           {func(s string) string { return cutList(s, `"expected_materials": [`) }, "do not end"},
		"empty rule":         {replace(`"DISALLOW",`, `"DISALLOW","*"],[],["DISALLOW",`), "empty"},
		"unknown rule":       {replace(`"CREATE"`, `"INVENT"`), "not a rule"},
		"long rule":          {replace(`"CREATE",`, `"CREATE","x",`), "not a rule"},
		"dots":               {replace(`"source/commit"`, `"source/../commit"`), "not a clean name"},
		"slash":              {replace(`"source/commit"`, `"source//commit"`), "not a clean name"},
		"absolute":           {replace(`"source/commit"`, `"/source/commit"`), "not a clean name"},
		"class":              {replace(`"base/*"`, `"base/[!a]*"`), "character classes"},
		"broken class":       {replace(`"base/*"`, `"base/[a"`), "character classes"},
		"escape":             {replace(`"base/*"`, `"base/\\*"`), "character classes"},
		"required pattern":   {replace(`"REQUIRE"`, `"require"`), ""},
		"required star":      {replace("\"REQUIRE\",\n      \"source/commit\"", `"REQUIRE","source/*"`), "REQUIRE takes one name"},
		"match what":         {replace(`"PRODUCTS"`, `"PRODUCT"`), "WITH MATERIALS"},
		"match whom":         {replace("\"FROM\",\n      \"build\"", `"FROM","built"`), `there is no step "built"`},
		"match prefix":       {replace("\"WITH\",\n      \"PRODUCTS\"", `"IN","a/../b","WITH","PRODUCTS"`), "not a clean name"},
		"inspections":        {replace(`"inspect": []`, `"inspect": [{"_type":"inspection","name":"x","run":["true"],"expected_materials":[],"expected_products":[]}]`), "1 inspections"},
		"own authorities":    {replace(`"inspect": []`, `"inspect": [],"rootcas":{"a":{"keyid":"a","keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"x"},"keyid_hash_algorithms":null}}`), "authorities of its own"},
		"keys and subjects":  {replace(`"threshold": 1`, `"threshold": 1,"cert_constraints":[{"common_name":"","dns_names":[],"emails":["a@b"],"organizations":[],"roots":["*"],"uris":[]}]`), "both keys and certificate"},
		"two of a name":      {replace(`"name": "fetch"`, `"name": "build"`), "there is no step \"fetch\""},
		"twice a step":       {replace(`"name": "gate"`, `"name": "scan"`), "non unique step"},
		"no name":            {replace(`"name": "gate"`, `"name": ""`), "name cannot be empty"},
		"another type":       {replace(`"_type": "layout"`, `"_type": "link"`), "should be 'layout'"},
		"another step type":  {replace(`"_type": "step"`, `"_type": "stop"`), "should be 'step'"},
		"expiry":             {replace(`Z",`, `",`), "expiry"},
		"no steps":           {func(s string) string { return cutList(s, `"steps": [`) }, "0 steps"},
		"unknown field":      {replace(`"readme"`, `"comment": "", "readme"`), "comment"},
		"case":               {replace(`"readme"`, `"Readme"`), "Readme"},
		"twice a field":      {replace(`"inspect": []`, `"inspect": [], "inspect": []`), "duplicate"},
		"key of another id":  {replace(`"keyid": "`, `"keyid": "00`), "key"},
		"key damaged":        {replace(pub[30:50], strings.Repeat("A", 20)), "key"},
		"key type":           {replace(`"keytype": "ecdsa"`, `"keytype": "ed25519"`), "scheme"},
		"key of none":        {replace(`"keytype": "ecdsa"`, `"keytype": "x"`), "key type"},
	} {
		doc := aLayout(t, c.change)
		_, err := LoadLayout(File{Name: "a.layout", Data: forcedSignature(t, doc)}, ownerPub())
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !hint.IsMisuse(err) || errors.Is(err, ErrUntrusted)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if s, again := SignLayout(context.Background(), File{Name: "a.layout", Data: doc}, signingKey()); (again == nil) != (c.want == "") {
			t.Errorf("%s: signed %.40s, %v", name, s, again)
		}
	}
}

// cutList empties the lists that begin with start.
func cutList(s, start string) string {
	for at := 0; ; {
		i := strings.Index(s[at:], start)
		if i < 0 {
			return s
		}
		at += i + len(start)
		for depth, j := 1, at; ; j++ {
			depth += strings.Count(s[j:j+1], "[") - strings.Count(s[j:j+1], "]")
			if depth == 0 {
				s = s[:at] + s[j:]
				break
			}
		}
	}
}

// firstKey puts another id in the place of every functionary.
func firstKey(s, id string) string {
	head, rest, _ := strings.Cut(s, `"pubkeys": [`)
	_, tail, _ := strings.Cut(rest, "]")
	return head + `"pubkeys": ["` + id + `"` + "]" + tail
}

// R33: every owner must have signed, in either of in-toto's forms, what the layout says now.
func TestLayoutOwners(t *testing.T) {
	doc := aLayout(t, nil)
	metablock, err := SignLayout(context.Background(), File{Data: doc}, signingKey())
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger := []File{{Name: "other.pub", Data: other}}
	envelope := forcedSignature(t, doc)
	untrusted := func(name string, data []byte, owners []File) {
		t.Helper()
		if _, err := LoadLayout(File{Name: "a.layout", Data: data}, owners); !errors.Is(err, ErrUntrusted) || hint.IsMisuse(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{"metablock": metablock, "envelope": envelope} {
		if _, err := LoadLayout(File{Data: data}, ownerPub()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		untrusted(name+" of a stranger", data, stranger)
		untrusted(name+" of one of two", data, append(ownerPub(), stranger...))
	}
	untrusted("not signed", doc, ownerPub())
	untrusted("edited", bytes.Replace(metablock, []byte("2"), []byte("3"), 1), ownerPub())
	untrusted("edited rule", bytes.ReplaceAll(metablock, []byte(`policy/baseline`), []byte(`policy/other`)), ownerPub())
	again, err := SignLayout(context.Background(), File{Data: metablock}, signingKey())
	if err != nil || bytes.Count(again, []byte(`"sig"`)) != 1 {
		t.Errorf("signed twice: %v", err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "no JSON": []byte("x"), "a list": []byte("[]"), "nothing": []byte("{}"), "null": []byte(`{"signed":null,"signatures":null}`),
		"plain": []byte(`{"_type":"layout"}`), "two": append(bytes.Clone(metablock), metablock...), "huge": bytes.Repeat([]byte(" "), maxLayout+1),
		"payload type": bytes.ReplaceAll(envelope, []byte("in-toto+json"), []byte("in-toto")), "deep": []byte(strings.Repeat(`{"signed":`, 200) + "1" + strings.Repeat("}", 200)),
		"unknown": bytes.Replace(metablock, []byte(`"signatures"`), []byte(`"x":1,"signatures"`), 1),
	} {
		if _, err := LoadLayout(File{Name: "a.layout", Data: data}, ownerPub()); !hint.IsMisuse(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, owners := range map[string][]File{"none": nil, "no key": {{Name: "x", Data: []byte("x")}}, "empty": {{Name: "x"}}} {
		if _, err := LoadLayout(File{Data: metablock}, owners); !hint.IsMisuse(err) {
			t.Errorf("owners %s: %v", name, err)
		}
	}
}

// R33 R37 R40 T41: the links of a good run fit; any link that is missing, says something else, or is somebody else's does not.
func TestLayoutCheck(t *testing.T) {
	load := func(change func(string) string) *Layout {
		t.Helper()
		l, err := LoadLayout(File{Data: forcedSignature(t, aLayout(t, change))}, ownerPub())
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, good := load(nil), verifiedLinks(t, aPipeline(t))
	if w, err := l.Check(good, someTime); err != nil || len(w) > 0 {
		t.Fatalf("%v %v", w, err)
	}
	if w, err := load(replace(`"expected_command": []`, `"expected_command": ["make"]`)).Check(good, someTime); err != nil || len(w) != 4 || !strings.Contains(w[0], `"fetch" ran ["sealyard" "build"]`) {
		t.Errorf("commands: %v %v", w, err)
	}
	if _, err := l.Check(good, someTime.Add(time.Hour+time.Second)); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	without := func(i int) []Verified { return append(append([]Verified{}, good[:i]...), good[i+1:]...) }
	changed := func(change func(*Run)) []Verified {
		r := aPipeline(t)
		change(&r)
		return verifiedLinks(t, r)
	}
	lacks := func(i int) func(*Run) {
		return func(r *Run) { r.Statements = append(append([]Statement{}, r.Statements[:i]...), r.Statements[i+1:]...) }
	}
	swap := func(i int, by Verified) []Verified { return append(without(i), by) }
	other := changed(func(r *Run) { r.Commit, r.Decision = strings.Repeat("cd", 20), r.Statements[0] })
	scanned := changed(func(r *Run) {
		scan := aScan()
		scan.Subjects, scan.Version = r.Image[:1], "v2"
		var err error
		if r.Statements[1], err = Vulns(scan); err != nil {
			t.Fatal(err)
		}
	})
	for name, c := range map[string]struct {
		links []Verified
		want  string
	}{
		"none":               {nil, `step "fetch": 0 of its functionaries signed a link, and 1 must`},
		"no fetch":           {without(0), `step "fetch"`},
		"no gate":            {without(3), `step "gate"`},
		"no commit":          {changed(func(r *Run) { r.Commit = "" }), "source/commit is not in"},
		"other source":       {swap(1, other[1]), `step "build"`},
		"no provenance":      {changed(lacks(0)), `provenance/slsa`},
		"one report less":    {changed(lacks(4)), "report/linux-amd64.vulns"},
		"one SBOM less":      {changed(lacks(8)), "sbom/linux-arm64.spdx"},
		"no policy":          {changed(func(r *Run) { r.Policies = nil }), "policy/baseline"},
		"another policy":     {changed(func(r *Run) { r.Policies[0].Name = "other" }), "policy/baseline"},
		"a policy more":      {changed(func(r *Run) { r.Policies = append(r.Policies, Reference{"b", sum(nil)}) }), `policy/b] disallowed by rule [DISALLOW *]`},
		"a platform less":    {changed(func(r *Run) { r.Image = r.Image[:2]; r.Statements = r.Statements[:7] }), "image/linux-arm64"},
		"a platform more":    {changed(func(r *Run) { r.Image = append(r.Image, Subject{"linux/s390x", sum([]byte("s390x"))}) }), "image/linux-s390x] disallowed"},
		"gate saw less":      {swap(3, changed(lacks(4))[3]), "report/linux-amd64.vulns is not in"},
		"scan saw less":      {swap(2, changed(func(r *Run) { r.Image = r.Image[:2]; r.Statements = r.Statements[:7] })[2]), `image/linux-arm64 is not in`},
		"scan of another":    {swap(2, scanned[2]), "report/index.vulns"},
		"twice, not fitting": {append(without(0), append(changed(func(r *Run) { r.Commit = strings.Repeat("cd", 20) })[:1], changed(func(r *Run) { r.Commit = strings.Repeat("ef", 20) })[:1]...)...), `step "build"`},
	} {
		if _, err := l.Check(c.links, someTime); !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// R26: links of another run beside those of this one change nothing, in whatever order.
	if _, err := l.Check(append(append([]Verified{}, other...), good...), someTime); err != nil {
		t.Errorf("beside another run's: %v", err)
	}
}

// R33: a threshold counts keys, not the names that a layout gives them, and only those that say the same.
func TestLayoutThreshold(t *testing.T) {
	private, public, err := GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	both := append(ownerPub(), File{Name: "second.pub", Data: public})
	doc, err := NewLayout(LayoutPlan{Platforms: []string{"linux/amd64", "linux/arm64"}, Policies: []string{"baseline"}, Functionary: both, Expires: someTime.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	doc = bytes.ReplaceAll(doc, []byte(`"threshold": 1`), []byte(`"threshold": 2`))
	l, err := LoadLayout(File{Data: forcedSignature(t, doc)}, ownerPub())
	if err != nil {
		t.Fatal(err)
	}
	links := verifiedLinks(t, aPipeline(t))
	if _, err := l.Check(append(links, links...), someTime); err == nil || !strings.Contains(err.Error(), "1 of its functionaries signed a link, and 2 must") {
		t.Errorf("one of two: %v", err)
	}
	sign := func(r Run) (out []Verified) {
		for _, st := range linksOf(t, r) {
			b, err := second.Sign(context.Background(), st)
			if err != nil {
				t.Fatal(err)
			}
			v, err := l.Trust(keyTrust(t)).Verify(b, indexDigest)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
		return out
	}
	if _, err := l.Check(append(links, sign(aPipeline(t))...), someTime); err != nil {
		t.Errorf("both: %v", err)
	}
	other := aPipeline(t)
	other.Commit = strings.Repeat("cd", 20)
	if _, err := l.Check(append(links, sign(other)...), someTime); err == nil || !strings.Contains(err.Error(), `step "fetch"`) {
		t.Errorf("both, saying different things: %v", err)
	}
	// One key under two ids is one functionary.
	var w struct {
		Signed struct{ Keys map[string]map[string]any }
	}
	one := aLayout(t, nil)
	if err := json.Unmarshal(one, &w); err != nil {
		t.Fatal(err)
	}
	for id, k := range w.Signed.Keys {
		twin := strings.Repeat("ab", 32)
		k["keyid"] = twin
		raw, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		s := strings.ReplaceAll(string(one), `"keys": {`, `"keys": {"`+twin+`":`+string(raw)+`,`)
		s = strings.ReplaceAll(s, `"pubkeys": [`, `"pubkeys": ["`+twin+`",`)
		s = strings.ReplaceAll(s, `"threshold": 1`, `"threshold": 2`)
		if _, err := LoadLayout(File{Data: forcedSignature(t, []byte(s))}, ownerPub()); err == nil || !strings.Contains(err.Error(), "threshold 2 of 1") {
			t.Errorf("%s twice: %v", id, err)
		}
	}
}

// An Ed25519 key is in a layout as hex.
func TestLayoutEd25519(t *testing.T) {
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	doc := aLayout(t, nil)
	id := strings.Repeat("ed", 32)
	key := `"` + id + `":{"keyid":"` + id + `","keyid_hash_algorithms":null,"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + hex.EncodeToString(public) + `"}}`
	s := firstKey(strings.ReplaceAll(string(doc), `"keys": {`, `"keys": {`+key+`,`), id)
	l, err := LoadLayout(File{Data: forcedSignature(t, []byte(s))}, ownerPub())
	if err != nil || len(l.keys) != 2 {
		t.Fatalf("%v", err)
	}
	if _, err := LoadLayout(File{Data: forcedSignature(t, []byte(strings.ReplaceAll(s, hex.EncodeToString(public), "ab")))}, ownerPub()); err == nil {
		t.Error("half a key")
	}
}

// R38: who signs under two issuers, or twice, is one functionary.
func TestThresholdCountsFunctionaries(t *testing.T) {
	st := sure(Link(StepFacts{Name: "build", Products: []Artifact{{Name: "image/index", Digests: map[string]string{"sha256": strings.Repeat("a", 64)}}}}))(t)
	by := func(san, issuer string) Verified {
		return Verified{st.claim, proof{signer: Identity{Kind: KindKeyless, ID: san, Issuer: issuer}}}
	}
	s := step{Step: in_toto.Step{Threshold: 2}, subjects: map[string]bool{"a": true, "b": true}}
	s.Name = "build"
	for name, c := range map[string]struct {
		links []Verified
		holds bool
	}{
		"two":         {[]Verified{by("a", "one"), by("b", "one")}, true},
		"two issuers": {[]Verified{by("a", "one"), by("a", "two")}, false},
		"twice":       {[]Verified{by("a", "one"), by("a", "one")}, false},
		"a stranger":  {[]Verified{by("a", "one"), by("c", "one")}, false},
	} {
		if enough, err := s.taken(c.links); (err == nil) != c.holds || len(enough) > 1 {
			t.Errorf("%s: %d, %v", name, len(enough), err)
		}
	}
}
