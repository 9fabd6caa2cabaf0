package attest

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"

	v1 "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sealyard/sealyard/internal/hint"
)

// RootInfo is what a trusted root says, to show it.
type RootInfo struct {
	MediaType   string        `json:"mediaType"`
	Authorities []ServiceInfo `json:"certificateAuthorities"` // that certify who signs: Fulcio
	Logs        []ServiceInfo `json:"transparencyLogs"`       // of signatures: Rekor
	CTLogs      []ServiceInfo `json:"ctLogs"`                 // of certificates
	Clocks      []ServiceInfo `json:"timestampAuthorities"`
}

// ServiceInfo is one service of a trusted root.
type ServiceInfo struct {
	URL      string `json:"url"`
	Operator string `json:"operator,omitempty"` // who runs it; roots before v0.2 do not say
	Subject  string `json:"subject,omitempty"`  // of an authority
	ID       string `json:"id"`                 // of a log its key id, of an authority the SHA-256 of its root certificate; in hex
	From     string `json:"from"`               // RFC 3339; of what it signed from then on
	Until    string `json:"until,omitempty"`    // and until then; "" is until further notice
}

// DescribeRoots reads a file of one or more trusted roots, as strictly as LoadTrust. Errors are marked with hint.Misuse.
func DescribeRoots(f File) ([]RootInfo, error) {
	docs, err := rootDocuments(f.Data)
	var out []RootInfo
	for _, doc := range docs {
		var info RootInfo
		if info, err = describe(doc); err != nil {
			break
		}
		out = append(out, info)
	}
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("trusted root %q: %w", f.Name, oneLine{err}), "give a trusted_root.json of Sigstore, or JSON lines of them")
	}
	return out, nil
}

func describe(doc []byte) (RootInfo, error) {
	if _, err := parseRoot(doc, Thresholds{}); err != nil {
		return RootInfo{}, err
	}
	var pb prototrustroot.TrustedRoot
	if err := protojson.Unmarshal(doc, &pb); err != nil {
		return RootInfo{}, err
	}
	info := RootInfo{MediaType: pb.GetMediaType(), Logs: logsOf(pb.GetTlogs()), CTLogs: logsOf(pb.GetCtlogs())}
	var err error
	if info.Authorities, err = authoritiesOf(pb.GetCertificateAuthorities()); err != nil {
		return RootInfo{}, err
	}
	info.Clocks, err = authoritiesOf(pb.GetTimestampAuthorities())
	return info, err
}

func logsOf(logs []*prototrustroot.TransparencyLogInstance) []ServiceInfo {
	out := []ServiceInfo{}
	for _, l := range logs {
		s := ServiceInfo{URL: l.GetBaseUrl(), Operator: l.GetOperator(), ID: hex.EncodeToString(l.GetLogId().GetKeyId())}
		s.From, s.Until = during(l.GetPublicKey().GetValidFor())
		out = append(out, s)
	}
	return out
}

func authoritiesOf(all []*prototrustroot.CertificateAuthority) ([]ServiceInfo, error) {
	out := []ServiceInfo{}
	for _, a := range all {
		chain := a.GetCertChain().GetCertificates()
		if len(chain) == 0 {
			return nil, fmt.Errorf("authority %q without certificate", a.GetUri())
		}
		top, err := x509.ParseCertificate(chain[len(chain)-1].GetRawBytes())
		if err != nil {
			return nil, err
		}
		s := ServiceInfo{URL: a.GetUri(), Operator: a.GetOperator(), Subject: top.Subject.String(), ID: hexSum(top.Raw)}
		s.From, s.Until = during(a.GetValidFor())
		out = append(out, s)
	}
	return out, nil
}

func during(r *v1.TimeRange) (from, until string) {
	if r.GetStart() != nil {
		from = stamp(r.GetStart().AsTime())
	}
	if r.GetEnd() != nil {
		until = stamp(r.GetEnd().AsTime())
	}
	return from, until
}
