package action

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/oci"
)

// vulnsPredicate is the part of a vulnerability claim (in-toto vulns v0.2, with our annotations) that a report shows.
type vulnsPredicate struct {
	Scanner struct {
		DB struct {
			LastUpdate string            `json:"lastUpdate"`
			Digest     map[string]string `json:"sealyard_digest"`
		} `json:"db"`
		Result []struct {
			ID          string `json:"id"`
			Annotations []struct {
				Package  string   `json:"package"`
				Version  string   `json:"version"`
				PURL     string   `json:"purl"`
				FixState string   `json:"fixState"`
				FixedIn  []string `json:"fixedIn"`
				Severity string   `json:"severity"`
				EPSS     float64  `json:"epss"`
				KEV      bool     `json:"kev"`
				Aliases  []string `json:"aliases"`
				Layer    string   `json:"layer"`
			} `json:"annotations"`
		} `json:"result"`
	} `json:"scanner"`
	Coverage struct {
		Packages int    `json:"packages"`
		Distro   string `json:"distro"`
		User     *int   `json:"user"`
	} `json:"sealyard_coverage"`
}

// describeVerified puts into the report what the verified claims say about each platform.
func (s *session) describeVerified(img oci.Image, verified []attest.Verified) error {
	s.report.Image = report.Image{Digest: img.Digest}
	for _, p := range img.Platforms {
		out := report.Platform{Platform: p.Platform, Digest: p.Digest, Size: layerBytes(p)}
		for _, v := range verified {
			if v.PredicateType() != attest.PredicateVulns || !slices.Contains(v.Subjects(), p.Digest) {
				continue
			}
			var doc vulnsPredicate
			if err := json.Unmarshal(v.Predicate(), &doc); err != nil {
				return fmt.Errorf("vulnerability claim %s: %w", v.Digest(), err)
			}
			out.Packages, out.Distro = doc.Coverage.Packages, doc.Coverage.Distro
			out.Vulnerabilities = doc.reported()
			s.report.Database = fmt.Sprintf("built %.10s, sha256:%s", doc.Scanner.DB.LastUpdate, doc.Scanner.DB.Digest["sha256"])
		}
		s.report.Image.Platforms = append(s.report.Image.Platforms, out)
	}
	return nil
}

func (v vulnsPredicate) reported() []report.Vulnerability {
	var out []report.Vulnerability
	for _, r := range v.Scanner.Result {
		for _, a := range r.Annotations {
			out = append(out, report.Vulnerability{
				ID: r.ID, Aliases: a.Aliases, Severity: a.Severity, Package: a.Package, Installed: a.Version, FixedIn: a.FixedIn,
				FixState: a.FixState, PURL: a.PURL, Layer: a.Layer, EPSS: a.EPSS, KEV: a.KEV,
			})
		}
	}
	return out
}

// builtAs returns the repositories that the verified provenance says the image was built for.
func builtAs(verified []attest.Verified) ([]string, error) {
	var names []string
	for _, v := range verified {
		if v.PredicateType() != attest.PredicateProvenance {
			continue
		}
		var doc struct {
			BuildDefinition struct {
				ExternalParameters struct {
					Image  string            `json:"image"`
					Inputs map[string]string `json:"inputs"`
				} `json:"externalParameters"`
			} `json:"buildDefinition"`
		}
		if err := json.Unmarshal(v.Predicate(), &doc); err != nil {
			return nil, fmt.Errorf("provenance claim %s: %w", v.Digest(), err)
		}
		external := doc.BuildDefinition.ExternalParameters
		for _, name := range append(strings.Fields(external.Inputs["tags"]), external.Image) {
			if ref, err := oci.ParseReference(name); err == nil && !slices.Contains(names, ref.Repository) {
				names = append(names, ref.Repository)
			}
		}
	}
	return names, nil
}
