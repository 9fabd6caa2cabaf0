package attest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// kinds says in short what a file was taken apart into.
func kinds(all []FileBundle) string {
	var out []string
	for _, b := range all {
		kind := "statement"
		switch {
		case b.Other != "":
			kind = "other"
		case b.Message:
			kind = "message"
		}
		out = append(out, fmt.Sprintf("%d %s", b.Number, kind))
	}
	return strings.Join(out, ", ")
}

// R26: a file of bundles is read in the forms that tools write; what is not a bundle is passed over, and nothing follows from its order.
func TestReadBundles(t *testing.T) {
	var b bytes.Buffer
	if err := json.Compact(&b, envelope(t, aStatement())); err != nil {
		t.Fatal(err)
	}
	one := b.String()
	b.Reset()
	if err := json.Indent(&b, []byte(one), "", "  "); err != nil {
		t.Fatal(err)
	}
	message := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"signature":"AAAA"}}`
	for name, c := range map[string]struct{ file, want string }{
		"one":                   {one, "1 statement"},
		"one, indented":         {b.String() + "\n", "1 statement"},
		"message":               {message, "1 message"},
		"lines":                 {one + "\n" + message + "\n", "1 statement, 2 message"},
		"lines, others between": {"\n# a comment\n" + message + "\r\n{}\n{\"payload\":\"\"}\n" + one, "2 other, 3 message, 4 other, 5 other, 6 statement"},
		"broken line":           {one[:40] + "\n" + one, "1 other, 2 statement"},
		"answer":                {`{"attestations":[{"bundle":` + one + `,"repository_id":1},{"bundle":null,"bundle_url":"https://x.example"},{}]}`, "1 statement, 2 other, 3 other"},
		"empty answer":          {`{"attestations":[]}`, ""},
		"statement, bare":       {aStatement(), "1 other"},
		"envelope, bare":        {`{"payloadType":"application/vnd.in-toto+json","payload":"","signatures":[]}`, "1 other"},
		"twice a name":          {strings.Replace(one, `{`, `{"mediaType":"x",`, 1), "1 other"},
		"too large a bundle":    {`{"mediaType":"` + bundlePrefix + `","x":"` + strings.Repeat("x", MaxBundle) + `"}`, "1 other"},
		"empty":                 {"", ""},
	} {
		got, err := ReadBundles([]byte(c.file))
		if err != nil || kinds(got) != c.want {
			t.Errorf("%s: %s, want %s; %v", name, kinds(got), c.want, err)
		}
		for _, b := range got {
			if b.JSON == nil || b.Message {
				continue
			}
			if _, err := keyTrust(t).Verify(b.JSON, indexDigest); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, file := range map[string]string{
		"lines":   strings.Repeat("{}\n", maxFileBundles+1),
		"answer":  `{"attestations":[` + strings.Repeat("{},", maxFileBundles) + `{}]}`,
		"too big": strings.Repeat(" ", MaxBundleFile+1),
	} {
		if got, err := ReadBundles([]byte(file)); err == nil || got != nil {
			t.Errorf("%s: no limit", name)
		}
	}
}

// A file of bundles is foreign bytes. Whatever it holds, nothing is verified in it but what was signed.
func FuzzReadBundles(f *testing.F) {
	trust, good := keyTrust(f), envelope(f, aStatement())
	f.Add([]byte(good))
	f.Add(append(append(bytes.Clone(good), '\n'), good...))
	f.Add([]byte(`{"attestations":[{"bundle":` + string(good) + `},{"bundle":null}]}`))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"AAAA"},"verificationMaterial":{"publicKey":{"hint":"x"}}}`))
	f.Add([]byte("\n{}\n[]\nnull\n"))
	want := []byte(aStatement())
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := ReadBundles(file)
		if err != nil && all != nil || len(all) > maxFileBundles {
			t.Fatalf("%d bundles, %v", len(all), err)
		}
		for _, b := range all {
			if (b.JSON == nil) == (b.Other == "") || b.Number < 1 || len(b.JSON) > MaxBundle {
				t.Fatalf("%+v", b)
			}
			if b.Other != "" {
				continue
			}
			if b.Message {
				if _, err := trust.VerifyMessage(b.JSON, indexDigest); !errors.Is(err, ErrUntrusted) {
					t.Fatalf("nobody signed a message: %v", err)
				}
				continue
			}
			v, err := trust.Verify(b.JSON, indexDigest)
			if err == nil && !bytes.Equal(v.JSON(), want) || err != nil && !errors.Is(err, ErrUntrusted) {
				t.Fatalf("%s: %v", v.JSON(), err)
			}
		}
	})
}

// T20: what a bundle says of itself is read without believing it; of one that holds it is what was signed.
func FuzzUnverified(f *testing.F) {
	trust, good := keyTrust(f), envelope(f, aStatement())
	f.Add([]byte(good))
	f.Add(bytes.Replace(good, []byte(`"publicKey":{"hint":`), []byte(`"certificate":{"rawBytes":`), 1))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"AAAA"},"verificationMaterial":{"publicKey":{"hint":"x"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Unverified(b)
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		v, verr := trust.Verify(b, indexDigest)
		if verr == nil && (err != nil || h.Statement != v.Digest() || h.PredicateType != v.PredicateType()) {
			t.Fatalf("%v: %+v", err, h)
		}
	})
}
