package action

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/oci"
	"github.com/sealyard/sealyard/policy"
)

const (
	maxWorkers = 256
	auditTold  = 10 * time.Second // between two lines on how far it is
)

func auditCommand(env Env) *cobra.Command {
	return staged("audit", &cobra.Command{
		Use:   "audit [TARGET...]",
		Short: "Verify many images and write a line about each",
		Long: `Verify images one by one as verify does, with the same keys, identities and policies, and write one line of JSON about each.
A target is a reference, a directory or a tar; --images names a list, a directory or a repository of them.
With --output the results go to a file. When the audit ends early, the same command goes on where it stopped: an image that has a
decision in the file is not audited again, one without is. Exit codes: 0 every image is allowed; 1 some are denied; 2 wrong
input; 3 some have no decision, whatever the others have.`,
		Example: `  sealyard audit --images ghcr.io/acme/app --key cosign.pub
  sealyard audit --images images.txt --repo acme/app --trusted-root trusted_root.json --output results.jsonl
  sealyard audit --images ./archive --key cosign.pub --shard 2/8 --output results-2.jsonl
  sealyard audit ./app-1.0 ./app-1.1 ghcr.io/acme/app:1.2 --key cosign.pub`,
	}, func(ctx context.Context, in values, args []string) error { return runAudit(ctx, env, in, args) })
}

// audit is one run over many images. What it believes and holds them to is read and compiled once.
type audit struct {
	*session
	by      auditor // of no store: each image has its own
	remote  *oci.Remote
	log     *auditLog
	limit   time.Duration // for one image
	workers int
	basis   string
	sum     report.Audit
}

// runAudit verifies many images.
func runAudit(ctx context.Context, env Env, in values, named []string) (err error) {
	a := &audit{session: newSession(env, in, "audit")}
	defer func() {
		if err != nil && !errors.Is(err, errDenied) {
			err = reworded{err, report.Redact(err.Error(), a.secrets())}
		}
	}()
	part, err := a.prepare(ctx)
	if err != nil {
		return err
	}
	forget, err := a.login(a.firstReference(named))
	if err != nil {
		return err
	}
	defer forget()
	if a.remote, err = a.session.remote(); err != nil {
		return err
	}
	defer a.remote.Close()
	all, err := a.targets(ctx, a.remote, named)
	if err != nil {
		return err
	}
	if err := a.openLog(); err != nil {
		return err
	}
	defer func() {
		if closed := a.log.close(); closed != nil && (err == nil || errors.Is(err, errDenied)) {
			err = fmt.Errorf("write results: %w", closed)
		}
	}()
	var todo []string
	mine := 0
	for _, target := range all {
		if !part.has(target) {
			continue
		}
		mine++
		if line, ok := a.log.done[target]; ok {
			a.sum.Add(line)
		} else {
			todo = append(todo, target)
		}
	}
	if before := a.sum.Images(); before > 0 {
		fmt.Fprintf(env.Stderr, "%s has a decision about %d of %s\n", report.Clean(in.one("output")), before, report.Plural(mine, "image"))
	}
	err = a.all(ctx, todo)
	if tell := a.sum.Text(a.summary(), a.secrets()); err == nil {
		err = tell
	}
	if err != nil {
		return hint.Wrap(err, "%s", a.again("the results so far are whole; the same command with the same output goes on from there"))
	}
	return a.outcome()
}

// prepare reads the inputs, and what to believe and to hold images to.
func (a *audit) prepare(ctx context.Context) (part shard, err error) {
	if part, err = parseShard(a.in.one("shard")); err != nil {
		return part, err
	}
	if a.limit, err = a.in.duration("image-timeout"); err != nil {
		return part, err
	}
	a.workers = runtime.GOMAXPROCS(0)
	if w := a.in.one("workers"); w != "" {
		if a.workers, err = strconv.Atoi(w); err != nil || a.workers < 1 || a.workers > maxWorkers {
			return part, hint.Misuse(fmt.Errorf("--workers: %q", w), "write a number from 1 to %d", maxWorkers)
		}
	}
	if want := a.in.one("expect-image"); want != "" {
		if _, err := oci.ParseReference(want); err != nil {
			return part, fmt.Errorf("--expect-image: %w", err)
		}
	}
	if a.by.trust, err = a.trust(ctx); err != nil {
		return part, err
	}
	if a.ownPolicy() {
		if a.by.own, err = a.policies(ctx, nil); err != nil {
			return part, err
		}
	}
	a.by.shelf = &shelf{}
	a.basis, err = a.foundation(ctx)
	return part, err
}

// foundation is the digest of everything that a verdict rests on besides the image: whom to believe, by the content of keys and
// roots, and what to hold it to. Results that rest on something else are not taken for done.
func (a *audit) foundation(ctx context.Context) (string, error) {
	h := sha256.New()
	if a.in.one("key") == "" || len(a.in.all("trusted-root")) > 0 {
		names, err := a.rootNames()
		if err != nil {
			return "", err
		}
		roots, err := files(names, readFile)
		if err != nil {
			return "", err
		}
		for _, root := range roots {
			fmt.Fprintf(h, "root %q\n", sha256of(root.Data))
		}
	}
	for _, in := range slices.Concat(gateInputs(), signInputs(), identityInputs()) {
		if !in.takes("audit") || in.name == "policy" || in.name == "policy-data" || in.name == "trusted-root" {
			continue
		}
		for _, v := range a.in.all(in.name) {
			if in.name == "key" { // its name may come to mean another one
				raw, err := a.publicKey(ctx, v)
				if err != nil {
					return "", err
				}
				v = sha256of(raw)
			}
			fmt.Fprintf(h, "%q %q\n", in.name, v)
		}
	}
	for _, b := range a.by.own {
		fmt.Fprintf(h, "policy %q %q\n", b.Name(), b.Digest())
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

// firstReference is the first source or target in a registry: it is there that registry-username logs in.
func (a *audit) firstReference(named []string) string {
	for _, name := range slices.Concat(a.in.all("images"), named) {
		if _, err := os.Lstat(name); err != nil && !local(name) && name != "-" {
			return name
		}
	}
	return ""
}

func (a *audit) openLog() (err error) {
	name := a.in.one("output")
	if name == "" || name == "-" {
		a.log = &auditLog{out: a.env.Stdout}
		return nil
	}
	a.log, err = openAuditLog(name, a.basis)
	return err
}

// summary is where the table at the end goes: where the results do not.
func (a *audit) summary() io.Writer {
	if a.log.out == a.env.Stdout {
		return a.env.Stderr
	}
	return a.env.Stdout
}

// again is what to do when not all is done: to go on needs the results of before in a file.
func (a *audit) again(withOutput string) string {
	if a.log.done == nil {
		return "with --output FILE the same command could go on where it stopped"
	}
	return withOutput
}

// outcome is what all images together come to.
func (a *audit) outcome() error {
	switch {
	case a.sum.Undecided > 0:
		return hint.Wrap(fmt.Errorf("no decision about %d of %s", a.sum.Undecided, report.Plural(a.sum.Images(), "image")), "%s", a.again("their lines say why; the same command with the same output audits only them again"))
	case a.sum.Denied > 0:
		return errDenied
	}
	return nil
}

// all audits the targets, several at once, and writes each result when it is there. An image that was interrupted has no line.
func (a *audit) all(ctx context.Context, todo []string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	next, lines := make(chan string), make(chan report.AuditLine)
	go func() {
		defer close(next)
		for _, target := range todo {
			select {
			case next <- target:
			case <-ctx.Done():
				return
			}
		}
	}()
	var workers sync.WaitGroup
	for range a.workers {
		workers.Go(func() {
			for target := range next {
				if line := a.one(ctx, target); ctx.Err() == nil {
					lines <- line
				}
			}
		})
	}
	go func() {
		workers.Wait()
		close(lines)
	}()
	return a.collect(ctx, stop, lines, len(todo))
}

// collect writes the lines and counts them. It reads to the end, so that no worker waits for ever.
func (a *audit) collect(ctx context.Context, stop func(), lines <-chan report.AuditLine, todo int) error {
	tick := time.NewTicker(auditTold)
	defer tick.Stop()
	var failed error
	for written := 0; ; {
		select {
		case line, more := <-lines:
			if !more && failed == nil && written < todo {
				failed = fmt.Errorf("%d of %s not audited: %w", todo-written, report.Plural(todo, "image"), context.Cause(ctx))
			}
			if !more {
				return failed
			}
			if failed != nil {
				continue
			}
			if failed = line.Write(a.log.out, a.secrets()); failed != nil {
				failed = fmt.Errorf("write results: %w", failed)
				stop()
				continue
			}
			written++
			a.sum.Add(line)
		case <-tick.C:
			fmt.Fprintf(a.env.Stderr, "audited %d of %s: %d denied, %d without a decision\n", written, report.Plural(todo, "image"), a.sum.Denied, a.sum.Undecided)
		}
	}
}

// one audits one image. Whatever goes wrong is in its line.
func (a *audit) one(ctx context.Context, target string) report.AuditLine {
	began := a.env.Now()
	line := report.AuditLine{Target: target, Verdict: report.VerdictUndecided, Basis: a.basis, Time: began.UTC().Truncate(time.Second)}
	ctx, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	u, err := a.unsealTarget(ctx, target)
	line.Digest, line.Ignored = u.image.Digest, len(u.rejected)
	if !u.time.IsZero() {
		line.Decided = u.time.UTC().Format(time.RFC3339)
	}
	switch {
	case err == nil && u.decision.Allowed:
		line.Verdict = report.VerdictAllowed
	case err == nil:
		line.Deny(u.decision)
	case ctx.Err() != nil:
		err = hint.Wrap(fmt.Errorf("it took longer than %s: %w", a.limit, err), "give more time with image-timeout")
		line.Error, line.Hint = err.Error(), hint.Of(err)
	case exitCode(err) == Denied:
		line.Deny(broken(policy.Decision{}, err.Error(), nil))
	default:
		line.Error, line.Hint = err.Error(), hint.Of(err)
	}
	line.Seconds = a.env.Now().Sub(began).Seconds()
	return line
}

// unsealTarget opens a target and verifies it as verify does. References share one way to the registries.
func (a *audit) unsealTarget(ctx context.Context, target string) (unsealed, error) {
	by := a.by
	if _, err := os.Lstat(target); err == nil || local(target) {
		store, done, err := a.session.open(ctx, target)
		if err != nil {
			return unsealed{}, err
		}
		defer done()
		by.store = store
	} else if by.store, err = a.remote.Repository(target); err != nil {
		return unsealed{}, err
	}
	return by.examine(ctx, a.in.one("expect-image"))
}
