package attest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits on a file of bundles.
const (
	MaxBundleFile  = 64 << 20 // bytes
	maxFileBundles = 1000     // lines, or attestations of an answer
)

// bundlePrefix is how the media types of all versions of a Sigstore bundle begin.
const bundlePrefix = "application/vnd.dev.sigstore.bundle"

// FileBundle is one document of a file of bundles. Nothing about it is verified.
type FileBundle struct {
	Number  int    // its line, or its place in the answer of an API, from 1
	JSON    []byte // what Verify, or of a Message VerifyMessage, takes
	Message bool   // a signature over an artifact, and no statement
	Other   string // why it is no bundle, when it is none: it is to be ignored (R26)
}

// ReadBundles takes a file of bundles apart: one Sigstore bundle in JSON, JSON lines of them, or the answer of GitHub's API
// for attestations. Documents that are none are returned as such. An error means that the file is beyond the limits, 64
// MiB and 1,000 documents.
func ReadBundles(file []byte) ([]FileBundle, error) {
	if len(file) > MaxBundleFile {
		return nil, fmt.Errorf("%d bytes, at most %d are read", len(file), MaxBundleFile)
	}
	if doc, err := onlyValue(file); err == nil {
		if answer, ok := answered(doc); ok {
			return readAnswer(answer)
		}
		return []FileBundle{readDocument(1, doc)}, nil
	}
	var out []FileBundle
	number := 0
	for line := range bytes.Lines(file) {
		if number++; number > maxFileBundles {
			return nil, fmt.Errorf("more than %d lines", maxFileBundles)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, readDocument(number, line))
		}
	}
	return out, nil
}

// onlyValue reads a file that is one JSON value, however it is broken into lines.
func onlyValue(file []byte) (jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(file))
	doc, err := dec.ReadValue()
	if err != nil {
		return nil, err
	}
	doc = bytes.Clone(doc)
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the document")
	}
	return doc, nil
}

// answer is what GitHub's API says when it is asked for attestations.
type answer struct {
	Attestations []struct {
		Bundle jsontext.Value `json:"bundle"`
	} `json:"attestations"`
}

func answered(doc jsontext.Value) (answer, bool) {
	var a answer
	err := jsonv2.Unmarshal(doc, &a)
	return a, err == nil && a.Attestations != nil
}

func readAnswer(a answer) ([]FileBundle, error) {
	if len(a.Attestations) > maxFileBundles {
		return nil, fmt.Errorf("more than %d attestations", maxFileBundles)
	}
	out := []FileBundle{}
	for i, one := range a.Attestations {
		if len(one.Bundle) == 0 || one.Bundle.Kind() == 'n' {
			out = append(out, FileBundle{Number: i + 1, Other: "the answer has no bundle here, only where to get it"})
			continue
		}
		out = append(out, readDocument(i+1, one.Bundle))
	}
	return out, nil
}

// readDocument tells the kinds of documents apart by what they say they are.
func readDocument(number int, doc []byte) FileBundle {
	var top struct {
		MediaType string         `json:"mediaType"`
		Message   jsontext.Value `json:"messageSignature"`
	}
	switch err := jsonv2.Unmarshal(doc, &top); {
	case len(doc) > MaxBundle:
		return FileBundle{Number: number, Other: fmt.Sprintf("%d bytes, a bundle has at most %d", len(doc), MaxBundle)}
	case err != nil:
		return FileBundle{Number: number, Other: "no bundle: " + oneLine{err}.Error()}
	case !strings.HasPrefix(top.MediaType, bundlePrefix):
		return FileBundle{Number: number, Other: fmt.Sprintf("no Sigstore bundle: the media type is %q", top.MediaType)}
	}
	return FileBundle{Number: number, JSON: doc, Message: top.Message != nil}
}
