package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
	"github.com/sealyard/sealyard/scan"
	"github.com/sealyard/sealyard/workload"
)

// databaseOfToday opens the database that the image is to be held to today, or returns nil. It must be of today, too.
func (s *session) databaseOfToday() (*scan.DB, error) {
	if s.in.one("db") == "" {
		return nil, nil
	}
	age, err := s.in.duration("db-max-age")
	if err != nil {
		return nil, err
	}
	return scan.OpenDB(s.in.one("db"), s.now, age)
}

// today decides on what was verified as if it were judged now. With a database the packages are those that the evidence lists, the
// vulnerabilities those that db knows, the time that of this run; manifests stand in place of the recorded ones, and exceptions if they are
// given. What is recorded stays as it is.
func (s *session) today(ctx context.Context, u unsealed, let *policy.Exceptions, db *scan.DB, runs *workload.Facts) error {
	if let == nil {
		let = u.exceptions
	} else if err := let.Check(u.policies, s.now); err != nil {
		return err
	}
	e := evidence{image: u.image, policies: u.policies, exceptions: let, claims: u.claims, time: u.record.time}
	if db != nil {
		found, err := rescan(ctx, u, db)
		if err != nil {
			return hint.Wrap(fmt.Errorf("scan again from the evidence: %w", err), "without --db the recorded scan is judged; sealyard scan looks at the image itself")
		}
		found.DB, found.Started, found.Finished = db.Info(), s.now, s.now
		if e.claims, err = rejudged(u, found); err != nil {
			return err
		}
		e.time = s.now
		s.describe(u.image, found, nil)
	} else if err := s.describeVerified(u.image, u.judged); err != nil {
		return err
	}
	if runs != nil {
		if !s.ownPolicy() && !judgeManifests(u.policies) {
			return hint.Misuse(errors.New("the recorded policies have no rules about manifests"), "give a policy that has, such as --policy baseline")
		}
		var err error
		if e.claims, err = redeployed(e.claims, u, runs); err != nil {
			return err
		}
	}
	_, d, err := e.decide(ctx)
	if err != nil {
		return err
	}
	s.report.Decision, s.report.Comparison = d, compared(u.record.decision, d, db != nil)
	s.report.Comparison.Redeployed = runs != nil
	return nil
}

// redeployed are claims with other manifests than the recorded ones. As nobody signs what is only asked, rules see a signer of the
// evidence.
func redeployed(claims []policy.Claim, u unsealed, runs *workload.Facts) ([]policy.Claim, error) {
	statements, err := workloadStatements(runs, u.image)
	if err != nil {
		return nil, err
	}
	added, err := claimsOf(statements, u.judged[0].Signer())
	kept := slices.DeleteFunc(slices.Clone(claims), func(c policy.Claim) bool { return c.PredicateType == attest.PredicateWorkloads })
	return append(kept, added...), err
}

// rejudged are the claims that were judged, with what was found now in place of the recorded vulnerabilities. Nobody signs what is
// only asked: rules see whoever signed those, and so stands for the packages.
func rejudged(u unsealed, found scan.Report) ([]policy.Claim, error) {
	var out []policy.Claim
	var signer attest.Identity
	for i, v := range u.judged {
		if v.PredicateType() == attest.PredicateVulns {
			signer = v.Signer()
			continue
		}
		out = append(out, u.claims[i])
	}
	statements, err := scanStatements(found, u.image)
	if err != nil {
		return nil, err
	}
	statements = slices.DeleteFunc(statements, func(st attest.Statement) bool { return st.PredicateType() != attest.PredicateVulns })
	claims, err := claimsOf(statements, signer)
	return append(out, claims...), err
}

// rescan looks up the packages of every platform. A document that lists fewer than the scan found is refused.
func rescan(ctx context.Context, u unsealed, db *scan.DB) (scan.Report, error) {
	r := scan.Report{Digest: u.image.Digest}
	index, err := u.documents(u.image.Digest)
	if err != nil {
		return r, err
	}
	r.SPDX, r.CycloneDX = index.spdx, index.cycloneDX
	for _, p := range u.image.Platforms {
		doc, err := u.documents(p.Digest)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.Platform, err)
		}
		found, err := scan.Rescan(ctx, doc.cycloneDX, db)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.Platform, err)
		}
		if len(found.Packages) != doc.vulns.Coverage.Packages {
			return r, fmt.Errorf("%s: its CycloneDX document lists %d packages, and the scan found %d", p.Platform, len(found.Packages), doc.vulns.Coverage.Packages)
		}
		found.Platform, found.Digest, found.SPDX, found.CycloneDX = p.Platform, p.Digest, doc.spdx, doc.cycloneDX
		found.Known, found.User.UID = true, -1
		if id := doc.vulns.Coverage.User; id != nil {
			found.User.UID = *id
		}
		r.Platforms = append(r.Platforms, found)
	}
	return r, nil
}

// scanned is what the evidence says about the content of one part of the image.
type scanned struct {
	spdx, cycloneDX []byte
	vulns           vulnsPredicate
}

// documents finds the one SPDX document, CycloneDX document and vulnerability claim about a digest.
func (u *unsealed) documents(digest string) (scanned, error) {
	var out scanned
	var vulns []byte
	for kind, to := range map[string]*[]byte{attest.PredicateSPDX: &out.spdx, attest.PredicateCycloneDX: &out.cycloneDX, attest.PredicateVulns: &vulns} {
		n := 0
		for _, v := range u.judged {
			if v.PredicateType() == kind && slices.Contains(v.Subjects(), digest) {
				*to = v.Predicate()
				n++
			}
		}
		if n != 1 {
			return out, fmt.Errorf("the evidence has %d claims of type %s about %s, not 1", n, kind, digest)
		}
	}
	if err := json.Unmarshal(vulns, &out.vulns); err != nil {
		return out, errors.New("the vulnerability claim cannot be read")
	}
	return out, nil
}

// compared says how a decision differs from the recorded one.
func compared(recorded, now policy.Decision, rescanned bool) report.Comparison {
	c := report.Comparison{Recorded: recorded.Time, Allowed: recorded.Allowed, Rescanned: rescanned}
	for _, side := range []struct {
		change    string
		has, hasn []policy.Finding
	}{
		{report.ChangeDenies, now.Denials, recorded.Denials}, {report.ChangeDeniesNot, recorded.Denials, now.Denials},
		{report.ChangeWarns, now.Warnings, recorded.Warnings}, {report.ChangeWarnsNot, recorded.Warnings, now.Warnings},
	} {
		for _, f := range side.has {
			if slices.ContainsFunc(side.hasn, func(g policy.Finding) bool { return sameFinding(f, g) }) {
				continue
			}
			c.Changes = append(c.Changes, report.Change{
				Change: side.change, Rule: f.Rule, Bundle: f.Bundle, Severity: f.Severity, Message: f.Message, Platform: f.Platform, Subject: f.Subject,
			})
		}
	}
	return c
}

// sameFinding reports whether two findings say the same. Titles, solutions and controls are the rule's words, which may improve.
func sameFinding(a, b policy.Finding) bool {
	return a.Rule == b.Rule && a.Bundle == b.Bundle && a.Platform == b.Platform && a.Subject == b.Subject && a.Message == b.Message
}
