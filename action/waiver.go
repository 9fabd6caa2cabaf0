package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/policy"
)

func waiverCommand(env Env) *cobra.Command {
	return group("waiver", "Keep waivers: what is let pass until a date although a policy denies it", waiverAddCommand(env), waiverListCommand(env), waiverLintCommand(env))
}

func waiverAddCommand(env Env) *cobra.Command {
	var w policy.Waiver
	var days int
	add := &cobra.Command{
		Use: "add FILE", Short: "Add a waiver to a file, which is made if it is not there",
		Long: `Add one waiver to a file of waivers, checked against the policy that it is an exception from. What else is in the file stays, comments too.
The scope must be narrow enough for the rule: docs/rules.md says for each what it needs.`,
		Example: `  sealyard waiver add waivers.yaml --rule vulnerability --vulnerability CVE-2021-44906 --purl pkg:npm/minimist \
    --reason "only build scripts call it" --owner app-team@acme.example --approved-by security@acme.example --days 30
  sealyard waiver add waivers.yaml --rule user-nonroot --image ghcr.io/acme/app --reason "listens on port 80" --owner ops --approved-by ciso --expires 2026-12-31`,
		Args: exactly("FILE"),
	}
	f := add.Flags()
	f.StringVar(&w.ID, "id", "", "name of the waiver (default: W- and a number)")
	f.StringVar(&w.Rule, "rule", "", "id of the rule whose findings are let pass")
	f.StringVar(&w.Scope.Vulnerability, "vulnerability", "", "scope: name of the vulnerability, its own or an alias")
	f.StringVar(&w.Scope.PURL, "purl", "", "scope: package URL; without a version every version of it")
	f.StringVar(&w.Scope.Image, "image", "", "scope: repository that the image is built as, without tag")
	f.StringVar(&w.Scope.Platform, "platform", "", "scope: platform, such as linux/amd64")
	f.StringVar(&w.Scope.Digest, "digest", "", "scope: digest of the image index or of a platform's manifest")
	f.StringVar(&w.Reason, "reason", "", "why it is let pass")
	f.StringVar(&w.Owner, "owner", "", "who is to end the need for it")
	f.StringVar(&w.ApprovedBy, "approved-by", "", "who accepts the risk")
	f.StringVar(&w.Expires, "expires", "", "the last day on which it applies, such as 2026-12-31")
	f.IntVar(&days, "days", 0, "instead of expires: for how many days from today it applies")
	return staged("waiver-add", add, func(ctx context.Context, in values, args []string) error {
		s := newSession(env, in, "waiver")
		if days > 0 && w.Expires == "" {
			w.Expires = s.now.AddDate(0, 0, days).Format(time.DateOnly)
		}
		return s.addWaiver(ctx, args[0], w)
	})
}

func (s *session) addWaiver(ctx context.Context, name string, w policy.Waiver) error {
	var raw []byte
	var known []policy.Waiver
	if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
		if raw, err = readFile(name); err != nil {
			return err
		}
		if known, err = policy.ReadWaivers(policy.File{Name: name, Data: raw}); err != nil {
			return err
		}
	}
	for n := len(known) + 1; w.ID == ""; n++ {
		id := fmt.Sprintf("W-%d", n)
		if !slices.ContainsFunc(known, func(k policy.Waiver) bool { return k.ID == id }) {
			w.ID = id
		}
	}
	if err := w.Problem(); err != nil {
		return hint.Misuse(fmt.Errorf("this waiver: %w", err), "run sealyard waiver add --help")
	}
	out, err := policy.AddWaiver(raw, w)
	if err != nil {
		return fmt.Errorf("waivers %q: %w", name, err)
	}
	bundles, err := s.policies(ctx, nil)
	if err != nil {
		return err
	}
	all, err := policy.LoadExceptions([]policy.File{{Name: name, Data: out}}, nil)
	if err != nil {
		return err
	}
	if err := all.Check(bundles, s.now); err != nil {
		return err
	}
	if err := os.WriteFile(name, out, 0o644); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	p := &printer{w: s.env.Stdout}
	p.line("", "%s: waiver %s of rule %s for %s applies until %s", name, w.ID, w.Rule, w.Scope, w.Expires)
	return p.err
}

func waiverListCommand(env Env) *cobra.Command {
	var now string
	list := &cobra.Command{
		Use: "list FILE...", Short: "List waivers with what they are today",
		Example: "  sealyard waiver list waivers.yaml\n  sealyard waiver list waivers.yaml --now 2027-01-01", Args: files1,
		RunE: func(_ *cobra.Command, args []string) error {
			s := newSession(env, values{}, "waiver")
			if err := s.setNow(now); err != nil {
				return err
			}
			all, err := loadWaivers(args)
			if err != nil {
				return err
			}
			_, err = s.listWaivers(all, policy.MaxWaiverDays(nil))
			return err
		},
	}
	list.Flags().StringVar(&now, "now", "", nowHelp)
	return list
}

func waiverLintCommand(env Env) *cobra.Command {
	var now string
	lint := &cobra.Command{
		Use: "lint FILE...", Short: "Check waivers against the policy that they are exceptions from",
		Long: `Check files of waivers as a run with them would: exit 2 when a run would refuse them. Exit 1 when one of them has ended, because it can be
removed, and what it was about will deny again; one that ends within 30 days is marked.`,
		Example: "  sealyard waiver lint waivers.yaml\n  sealyard waiver lint waivers.yaml --policy baseline --policy ./acme --now 2027-01-01", Args: files1,
	}
	lint.Flags().StringVar(&now, "now", "", nowHelp)
	return staged("waiver-lint", lint, func(ctx context.Context, in values, args []string) error {
		s := newSession(env, in, "waiver")
		if err := s.setNow(now); err != nil {
			return err
		}
		bundles, err := s.policies(ctx, nil)
		if err != nil {
			return err
		}
		all, err := loadWaivers(args)
		if err != nil {
			return err
		}
		if err := all.Check(bundles, s.now); err != nil {
			return err
		}
		ended, err := s.listWaivers(all, policy.MaxWaiverDays(bundles))
		if err == nil && ended > 0 {
			return errDenied
		}
		return err
	})
}

const nowHelp = "ask as if it were this day (2026-12-31) or time (RFC 3339)"

// files1 asks for at least one file.
func files1(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return hint.Misuse(fmt.Errorf("%s takes FILE..., got no argument", cmd.CommandPath()), "run %s --help", cmd.CommandPath())
	}
	return nil
}

// setNow makes a question one of another time. Nothing that is recorded or published can be.
func (s *session) setNow(text string) error {
	if text == "" {
		return nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		return hint.Misuse(fmt.Errorf("now %q is neither a day nor a time", text), "write 2026-12-31 or 2026-12-31T12:00:00Z")
	}
	s.now = at.UTC()
	return nil
}

func loadWaivers(names []string) (*policy.Exceptions, error) {
	var out []policy.File
	for _, name := range names {
		raw, err := readFile(name)
		if err != nil {
			return nil, err
		}
		out = append(out, policy.File{Name: name, Data: raw})
	}
	return policy.LoadExceptions(out, nil)
}

// listWaivers prints a line for each waiver, the first to end first, and counts those that have ended.
func (s *session) listWaivers(all *policy.Exceptions, days int) (ended int, err error) {
	list := all.Waivers()
	slices.SortStableFunc(list, func(a, b policy.Waiver) int { return cmp.Compare(a.Expires, b.Expires) })
	w := tabwriter.NewWriter(s.env.Stdout, 0, 0, 2, ' ', 0)
	for _, x := range list {
		state := x.State(s.now, days)
		if state == policy.WaiverExpired {
			ended++
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", state, x.Expires, x.ID, x.Rule, report.Clean(x.Scope.String()), report.Clean(x.Reason)); err != nil {
			return ended, err
		}
	}
	return ended, w.Flush()
}
