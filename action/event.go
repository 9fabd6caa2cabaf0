package action

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
)

// maxEvent bounds the file with the payload of an event, in bytes: GitHub's webhooks have up to 25 MB.
const maxEvent = 32 << 20

// unsignedFork is what a run for a pull request from a fork says of itself.
const unsignedFork = "unsigned: fork pull request, no identity"

// event is what started a workflow, as far as it says whose code is built. GitHub gives jobs for a pull request from a fork neither
// secrets nor an identity. For pull_request_target and workflow_run it gives both, to run what is in the base branch.
type event struct {
	name    string
	foreign bool   // the code that it is about is proposed from another repository
	base    string // commit whose policy judges what is proposed (T13); "" when nothing is proposed
}

// event reads what the runner says about the event. Outside of GitHub there is none.
func (s *session) event() (event, error) {
	if !s.onGitHub() {
		return event{}, nil
	}
	e := event{name: s.env.getenv("GITHUB_EVENT_NAME")}
	if !strings.HasPrefix(e.name, "pull_request") && e.name != "workflow_run" && e.name != "merge_group" {
		if e.privileged() {
			e.base = cmp.Or(s.env.getenv("GITHUB_SHA"), "unknown")
		}
		return e, nil
	}
	raw, err := readUpTo(s.env.getenv("GITHUB_EVENT_PATH"), maxEvent)
	if err != nil {
		return e, fmt.Errorf("event %q: its payload (GITHUB_EVENT_PATH): %w", e.name, err)
	}
	type repository struct {
		ID int64 `json:"id"`
	}
	var payload struct {
		Repository repository `json:"repository"`
		Pull       struct {
			Head struct {
				Repository repository `json:"repo"` // null when it was deleted
			} `json:"head"`
			Base struct {
				SHA string `json:"sha"`
			} `json:"base"`
		} `json:"pull_request"`
		Queue struct {
			Base string `json:"base_sha"`
		} `json:"merge_group"`
		Run struct {
			Head repository `json:"head_repository"`
		} `json:"workflow_run"`
	}
	if err := json.Unmarshal(raw, &payload); err != nil {
		return e, fmt.Errorf("event %q: its payload: %w", e.name, err)
	}
	head := payload.Pull.Head.Repository
	if e.name == "workflow_run" {
		head = payload.Run.Head
	}
	if payload.Repository.ID == 0 {
		return e, fmt.Errorf("event %q: its payload names no repository", e.name)
	}
	e.foreign = e.name != "merge_group" && head != payload.Repository
	switch {
	case e.privileged(), e.name == "workflow_run": // whatever ran before may have been for a proposed commit
		e.base = cmp.Or(s.env.getenv("GITHUB_SHA"), "unknown")
	case e.name == "merge_group":
		e.base = cmp.Or(payload.Queue.Base, "unknown")
	case strings.HasPrefix(e.name, "pull_request"):
		e.base = cmp.Or(payload.Pull.Base.SHA, "unknown") // GITHUB_SHA is what is proposed, merged
	}
	return e, nil
}

// fork reports whether a job was started for a pull request from a fork, as one without secrets and identity.
func (e event) fork() bool { return e.foreign && !e.privileged() }

// privileged reports whether the job has secrets and an identity although somebody else may have proposed the code. Of other events than
// these, anybody may be the cause: a comment on a pull request is one.
func (e event) privileged() bool {
	switch e.name {
	case "workflow_run":
		return e.foreign
	case "", "push", "create", "release", "schedule", "workflow_dispatch", "repository_dispatch", "merge_group", "deployment",
		"pull_request", "pull_request_review", "pull_request_review_comment": // by who may write, or without secrets
		return false
	}
	return true
}

// ownHead refuses to build anything but the commit that the workflow runs for, where the job is more trusted than whoever proposed the
// code: nothing of a pull request's head may be built with this job's secrets or signed as this workflow (R94, T12). A
// context whose commit cannot be told is refused as well. What a step changed in the work tree later is not seen here.
func (s *session) ownHead(e event, plan build.Plan) error {
	if !e.privileged() {
		return nil
	}
	contexts := []string{plan.Context}
	if plan.File != "" {
		file, err := filepath.EvalSymlinks(plan.File)
		if err != nil {
			return hint.Misuse(fmt.Errorf("Dockerfile %q: %w", plan.File, err), "check the path")
		}
		contexts = append(contexts, filepath.Dir(file))
	}
	for _, c := range plan.BuildContexts {
		if !strings.HasPrefix(c, "docker-image://") && !strings.HasPrefix(c, "oci-layout://") {
			contexts = append(contexts, c)
		}
	}
	own := s.env.getenv("GITHUB_SHA")
	for _, c := range contexts {
		if found := commitOf(c); found != own || own == "" {
			return hint.Misuse(fmt.Errorf("context %q is at commit %q, and %s runs for %q: what was proposed is not built with the secrets and the identity of this workflow", withoutUser(c), found, e.name, own),
				"build pull requests in a workflow on pull_request; here, check out nothing but the base")
		}
	}
	return nil
}

var commitForm = regexp.MustCompile(`\A([0-9a-f]{40}|[0-9a-f]{64})\z`)

// commitOf is the commit that a context is at: of a git URL the one it names, of a directory what is checked out there; "" when that
// cannot be told. It asks no git, which may not be there.
func commitOf(context string) string {
	if info, err := os.Stat(context); err != nil || !info.IsDir() {
		address, fragment, _ := strings.Cut(context, "#")
		if !strings.HasSuffix(address, ".git") { // what else is fetched need not be a commit at all
			return ""
		}
		commit, _, _ := strings.Cut(fragment, ":")
		if !commitForm.MatchString(commit) {
			return ""
		}
		return commit
	}
	dir, err := filepath.EvalSymlinks(context)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return ""
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(filepath.Join(dir, ".git"))
		switch {
		case err == nil && info.IsDir():
			return headOf(filepath.Join(dir, ".git"))
		case err == nil || !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir):
			return "" // a submodule or another work tree, whose HEAD is elsewhere; or no repository
		}
	}
}

// headOf follows HEAD of a repository to a commit.
func headOf(git string) string {
	read := func(name string) string {
		raw, err := readFile(filepath.Join(git, filepath.FromSlash(name)))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(raw))
	}
	head := read("HEAD")
	if ref, ok := strings.CutPrefix(head, "ref: "); ok && filepath.IsLocal(ref) {
		if head = read(ref); head == "" {
			head = packed(read("packed-refs"), ref)
		}
	}
	if !commitForm.MatchString(head) {
		return ""
	}
	return head
}

// packed finds a ref in git's packed-refs.
func packed(refs, ref string) string {
	for line := range strings.Lines(refs) {
		if commit, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return commit
		}
	}
	return ""
}
