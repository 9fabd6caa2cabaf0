package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds how deep JSON may nest: real evidence stays below 20, and both the engine and the checks here
// recurse once per level.
const maxDepth = 64

// canonical returns the one spelling of a JSON value: members sorted, no space, no needless escape, numbers as
// they were written. A repeated member, invalid UTF-8, a second value or nesting beyond maxDepth is an error.
func canonical(data []byte) ([]byte, error) {
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	v := jsontext.Value(bytes.Clone(data))
	err := v.Format(
		jsontext.ReorderRawObjects(true),
		jsontext.PreserveRawStrings(false),
		jsontext.CanonicalizeRawInts(false),
		jsontext.CanonicalizeRawFloats(false),
	)
	if err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}
	return v, nil
}

// checkDepth reads one JSON value token by token and refuses what canonical refuses.
func checkDepth(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := d.ReadToken(); err != nil {
			return errors.New(oneLine(unexpectedEnd(err).Error()))
		}
		if d.StackDepth() > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errors.New("data after the JSON value")
	}
	return nil
}

func unexpectedEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// digestOf returns "sha256:<64 hex>" of data.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
