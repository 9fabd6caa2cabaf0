package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/internal/hint"
)

const (
	// staleRoot is the age from which a trusted root is warned about. Roots do not expire. Sigstore adds logs and keys
	// about twice a year and announces them weeks before: an older file may not know who signs today, and still
	// trust whom it should not.
	staleRoot = 90 * 24 * time.Hour

	// refreshAfter is the age from which signing updates the trust of this user before it takes services from there.
	refreshAfter = 24 * time.Hour

	recordSuffix  = ".update.json" // after the name of a trusted root: when and from where it was updated
	keptRoot      = "trusted_root.json"
	signingConfig = "signing_config.json"
)

func trustCommand(env Env) *cobra.Command {
	var o updateFlags
	update := &cobra.Command{
		Use: "update [FILE]", Short: "Fetch the trusted root of a Sigstore instance from its TUF repository",
		Long: `Write what a TUF repository vouches for to FILE, and signing_config.json beside it when the repository has one.
Without FILE it becomes what this user trusts when no trusted root is named (sealyard/trusted_root.json in the user's
configuration directory). FILE.update.json remembers when and what, so that the next update refuses an older state.
Nothing is written unless everything holds. Verifying never fetches anything that it trusts; it reads files.`,
		Example: `  sealyard trust update
  sealyard trust update --mirror https://tuf.example --root root.json acme_root.json`,
		Args: exactly("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
			defer cancel()
			if len(args) == 1 {
				o.file = args[0]
				return o.update(ctx, env, env.Stdout)
			}
			kept, err := env.keptRoot()
			if err != nil {
				return err
			}
			o.file = kept
			return o.update(ctx, env, env.Stdout)
		},
	}
	update.Flags().StringVar(&o.mirror, "mirror", attest.PublicMirror, "address of the TUF repository")
	update.Flags().StringVar(&o.root, "root", "", "root.json of the repository, got by a way that you trust (default: the public instance's, which is built in)")
	update.Flags().DurationVar(&o.timeout, "timeout", 2*time.Minute, "longest time for the update")
	format := "text"
	show := &cobra.Command{
		Use: "show [FILE...]", Short: "Show whom trusted roots trust, for what time, and how old they are",
		Long:    "Show whom trusted roots trust, for what time, and how old they are; without FILE, the one that trust update keeps for this user.",
		Example: "  sealyard trust show\n  sealyard trust show trusted_root.json\n  sealyard trust show trusted_root.json acme_root.json --format json",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return showRoots(env, args, format)
			}
			kept, err := env.keptRoot()
			if err != nil {
				return err
			}
			if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
				return hint.Misuse(fmt.Errorf("no trusted root is kept: there is no %q", kept), "make it with sealyard trust update, or name a file")
			}
			return showRoots(env, []string{kept}, format)
		},
	}
	show.Flags().StringVar(&format, "format", format, "text or json")
	return group("trust", "Fetch and show trusted roots: who vouches for keyless signatures", update, show)
}

type updateFlags struct {
	mirror, root, file string
	timeout            time.Duration
}

// update begins where the user says, and goes on from the update before.
func (o updateFlags) update(ctx context.Context, env Env, told io.Writer) (err error) {
	u := attest.RootUpdate{Mirror: o.mirror}
	if o.root != "" {
		if u.Root, err = readFile(o.root); err != nil {
			return err
		}
	}
	return updateRoot(ctx, env, o.file, u, told)
}

// updateRoot writes a trusted root and what comes with it.
func updateRoot(ctx context.Context, env Env, file string, u attest.RootUpdate, told io.Writer) (err error) {
	u.Now = env.Now().UTC().Truncate(time.Second)
	if u.Last, err = lastUpdate(file); err != nil {
		return hint.Misuse(err, "remove it to begin anew; until the next update, an older state of the repository is then not recognised")
	}
	if u.Scratch, err = os.MkdirTemp(env.getenv("TMPDIR"), "sealyard-"); err != nil {
		return fmt.Errorf("update %q: %w", file, err)
	}
	defer os.RemoveAll(u.Scratch)
	root, config, record, err := attest.UpdateRoot(ctx, u)
	if err != nil {
		return advise(fmt.Errorf("update %q: %w", file, err), "nothing was changed; check --mirror and --root, or try again later")
	}
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("update %q: %w", file, err)
	}
	if err := replace(file, root); err != nil {
		return err
	}
	fmt.Fprintf(told, "%s as of %s from %s\n", file, record.Updated.Format(time.RFC3339), record.Mirror)
	services := filepath.Join(filepath.Dir(file), signingConfig)
	if config == nil {
		if u.Last != nil && u.Last.Mirror != record.Mirror { // what is there is the other repository's
			if err := os.Remove(services); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("update %q: %w", file, err)
			}
		}
	} else {
		if err := replace(services, config); err != nil {
			return err
		}
		fmt.Fprintf(told, "%s as of %s from %s\n", services, record.Updated.Format(time.RFC3339), record.Mirror)
	}
	return replace(file+recordSuffix, append(text, '\n')) // last: without it, the file's own date counts
}

// replace writes a file in one step.
func replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// keptRoot names the trusted root that is believed when none is named.
func (e Env) keptRoot() (string, error) { return e.config(keptRoot) }

// keptServices reads the services of the trust that this user keeps, after an update when that is a day old or not there: the
// first time from the public instance, later from wherever it was updated before.
func (s *session) keptServices(ctx context.Context) ([]byte, error) {
	const tip = "give --signing-config and --trusted-root to sign with the services of your own files"
	file, err := s.env.keptRoot()
	if err != nil {
		return nil, err
	}
	last, err := lastUpdate(file)
	if err != nil {
		return nil, hint.Misuse(err, "remove it to begin anew, or %s", tip)
	}
	if last == nil || s.now.Sub(last.Updated) > refreshAfter || last.Updated.After(s.now) {
		u := attest.RootUpdate{Mirror: attest.PublicMirror}
		if last != nil {
			u.Mirror, u.Root = last.Mirror, last.Metadata["root"]
		}
		fmt.Fprintf(s.log, "=> updating whom to trust from %s\n", report.Clean(u.Mirror))
		if err := updateRoot(ctx, s.env, file, u, io.Discard); err != nil {
			return nil, hint.Wrap(fmt.Errorf("%v", err), tip) // not a verdict about an image, whatever it is about the mirror
		}
	}
	services := filepath.Join(filepath.Dir(file), signingConfig)
	if _, err := os.Stat(services); errors.Is(err, os.ErrNotExist) {
		return nil, hint.Misuse(fmt.Errorf("no signing config beside %q: its repository publishes none", file), tip)
	}
	return readFile(services)
}

// lastUpdate reads the record of the last update of a trusted root; nil when there is none.
func lastUpdate(file string) (*attest.RootRecord, error) {
	name := file + recordSuffix
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	raw, err := readFile(name)
	if err != nil {
		return nil, err
	}
	r, err := attest.ReadRootRecord(raw)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", name, err)
	}
	return r, nil
}

// age is since when a trusted root is as it is, and how that is known.
type age struct {
	Since time.Time `json:"since"`
	From  string    `json:"from"`
}

// rootAge says how old a trusted root is. There is no date in the file. What an update recorded of these very bytes counts,
// else the file's date, which is that of a copy where it was copied: a root may be older than this says, and its record be lost.
func rootAge(name string, content []byte) age {
	if r, err := lastUpdate(name); err == nil && r != nil && r.Of(content) {
		return age{r.Updated, "update from " + r.Mirror}
	}
	info, err := os.Stat(name)
	if err != nil {
		return age{From: "nothing known"}
	}
	return age{info.ModTime().UTC().Truncate(time.Second), "date of the file, no update is recorded"}
}

// old says that a root is stale; "" when it is not.
func (a age) old(now time.Time) string {
	if now.Sub(a.Since) < staleRoot {
		return ""
	}
	return fmt.Sprintf("is %s old (%s, %s)", report.Plural(a.days(now), "day"), a.Since.Format(time.DateOnly), a.From)
}

func (a age) days(now time.Time) int { return int(now.Sub(a.Since) / (24 * time.Hour)) }

// shownRoot is what trust show says of a file.
type shownRoot struct {
	File  string            `json:"file"`
	Age   age               `json:"age"`
	Days  int               `json:"days"`
	Stale bool              `json:"stale"`
	Roots []attest.RootInfo `json:"roots"`
}

func showRoots(env Env, names []string, format string) error {
	if format != "text" && format != "json" {
		return hint.Misuse(fmt.Errorf("format %q is none of text, json", format), "choose one of them")
	}
	var all []shownRoot
	for _, name := range names {
		raw, err := readFile(name)
		if err != nil {
			return err
		}
		roots, err := attest.DescribeRoots(attest.File{Name: name, Data: raw})
		if err != nil {
			return err
		}
		a, now := rootAge(name, raw), env.Now()
		all = append(all, shownRoot{File: name, Age: a, Days: a.days(now), Stale: a.old(now) != "", Roots: roots})
	}
	if format == "json" {
		return printJSON(env.Stdout, all)
	}
	return writeRoots(env.Stdout, all)
}

func writeRoots(w io.Writer, all []shownRoot) error {
	p := &printer{w: w}
	for _, f := range all {
		stale := ""
		if f.Stale {
			stale = "; refresh it with sealyard trust update"
		}
		p.line("", "%s: %s old (%s, %s)%s", f.File, report.Plural(f.Days, "day"), f.Age.Since.Format(time.DateOnly), f.Age.From, stale)
		for _, r := range f.Roots {
			p.line("  ", "%s", r.MediaType)
			p.services("certificate authority", r.Authorities)
			p.services("transparency log", r.Logs)
			p.services("CT log", r.CTLogs)
			p.services("timestamp authority", r.Clocks)
		}
	}
	return p.err
}

func (p *printer) services(what string, all []attest.ServiceInfo) {
	for _, s := range all {
		until := "until further notice"
		if s.Until != "" {
			until = "until " + s.Until
		}
		p.line("    ", "%s %s", what, s.URL)
		if s.Operator != "" {
			p.line("      ", "run by  %s", s.Operator)
		}
		if s.Subject != "" {
			p.line("      ", "subject %s", s.Subject)
		}
		p.line("      ", "id      %s", s.ID)
		p.line("      ", "trusted from %s %s", s.From, until)
	}
}
