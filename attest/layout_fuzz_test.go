package attest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sealyard/sealyard/internal/hint"
)

// R38 T41: no layout, however it is signed, makes reading it or following it panic; what is loaded has a threshold and rules that end.
func FuzzLayout(f *testing.F) {
	var w struct{ Signed json.RawMessage }
	good := aLayout(f, nil)
	if err := json.Unmarshal(good, &w); err != nil {
		f.Fatal(err)
	}
	links := verifiedLinks(f, aPipeline(f))
	f.Add([]byte(w.Signed))
	f.Add(good)
	f.Add(forcedSignature(f, good))
	for _, change := range []func(string) string{
		replace(`"threshold": 1`, `"threshold": 0`), replace(`"DISALLOW",`, `"DISALLOW","*"],[],["DISALLOW",`), replace(`"FROM"`, `"IN"`), replace(`"base/*"`, `"base/[a"`),
		replace(`"pubkeys": [`, `"pubkeys": ["00",`), replace(`"keytype": "ecdsa"`, `"keytype": "rsa"`), replace(`"inspect": []`, `"inspect": [{}]`), replace(`"image/index"`, `"image/*?"`),
		replace(`"keyval": {`, `"keyval": {"private":"x",`), replace(`"steps": [`, `"steps": [{},`),
	} {
		doc := []byte(change(string(good)))
		f.Add(doc)
		if err := json.Unmarshal(doc, &w); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(w.Signed))
	}
	owner := ownerPub()
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := LoadLayout(File{Name: "x", Data: data}, owner); err == nil || !hint.IsMisuse(err) && !errors.Is(err, ErrUntrusted) {
			if s, opened := openLayout(data); opened != nil || s.envelope == nil { // the seed that is signed
				t.Fatalf("%v", err)
			}
		}
		doc, err := readLayout(data)
		if err != nil {
			return
		}
		l, err := compileLayout(doc)
		if err != nil {
			return
		}
		for _, s := range l.steps {
			last := s.ExpectedProducts[len(s.ExpectedProducts)-1]
			if s.Threshold < 1 || s.Threshold > len(s.keys)+len(s.subjects) || !strings.EqualFold(last[0], "disallow") || last[1] != "*" {
				t.Fatalf("loaded %+v", s)
			}
		}
		for _, some := range [][]Verified{links, links[:2], nil} {
			if _, err := l.Check(some, someTime); err != nil && !errors.Is(err, ErrUntrusted) {
				t.Fatal(err)
			}
		}
	})
}

// R36 R38 T41: no link statement makes reading or following it panic, and none with a name that cleaning changes is followed.
func FuzzLink(f *testing.F) {
	l, err := LoadLayout(File{Data: forcedSignature(f, aLayout(f, nil))}, ownerPub())
	if err != nil {
		f.Fatal(err)
	}
	links := verifiedLinks(f, aPipeline(f))
	for _, v := range links {
		f.Add(v.json)
		f.Add([]byte(strings.Replace(string(v.json), "image/index", "image/../index", 1)))
		f.Add([]byte(strings.Replace(string(v.json), `"materials":[`, `"materials":[{},`, 1)))
		f.Add([]byte(strings.Replace(string(v.json), `"sha256":"`, `"sha512":"`, 1)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil {
			return
		}
		v := Verified{claim: c, proof: links[0].proof}
		one, err := toLink(c)
		if err == nil {
			for name := range one.Products {
				if !cleanName(name) {
					t.Fatalf("%q", name)
				}
			}
		}
		if _, err := l.Check([]Verified{v, links[1], links[2], links[3]}, someTime); err == nil && string(one.Products["source/commit"]["gitCommit"]) != strings.Repeat("ab", 20) {
			t.Fatalf("another source: %s", b)
		}
		for i := range links {
			some := append(append([]Verified{}, links...), v)
			some[i] = v
			if _, err := l.Check(some, someTime); err != nil && !errors.Is(err, ErrUntrusted) {
				t.Fatal(err)
			}
		}
	})
}
