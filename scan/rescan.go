package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/anchore/syft/syft/format/cyclonedxjson"
)

// Rescan asks db about the packages that a CycloneDX document lists, as Layout asks about those that it finds, without the
// image. It is as good as the document: what is not listed there is not known, and nobody may take a shorter list for a safer
// image. The answer has packages, distribution and vulnerabilities; the rest of it is zero.
//
// Documents of Layout carry all that matching needs, but for one thing: which packages a distribution's package owns: of one that
// it owns, upstream's records count beside the distribution's.
func Rescan(ctx context.Context, cycloneDX []byte, db *DB) (Platform, error) {
	if db == nil {
		return Platform{}, errors.New("no vulnerability database")
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	bom, _, _, err := cyclonedxjson.NewFormatDecoder().Decode(bytes.NewReader(cycloneDX))
	if err != nil {
		return Platform{}, fmt.Errorf("read CycloneDX document: %w", err)
	}
	m, err := (&scanner{db: db}).match(ctx, bom)
	if err != nil {
		return Platform{}, err
	}
	return Platform{
		Packages: packages(bom), Distro: m.distro, Vulnerabilities: m.found, Uncomparable: m.uncomparable,
		Warnings: m.warnings[:min(len(m.warnings), maxWarnings)],
	}, nil
}
