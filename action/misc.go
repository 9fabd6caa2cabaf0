package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/attest"
	"github.com/sealyard/sealyard/build"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/sealyard/sealyard/scan"
)

// versions says what this program is made of.
type versions struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	BuildKit string `json:"buildkit"`
	Platform string `json:"platform"`
}

func version() versions {
	v := versions{Version: "devel", Go: runtime.Version(), BuildKit: build.BuildKitVersion, Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	return v
}

func versionCommand(env Env) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version and what this program is made of", Args: exactly(), Example: "  sealyard version",
		RunE: func(*cobra.Command, []string) error { return printJSON(env.Stdout, version()) }}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// engineCommand is the built-in BuildKit engine: build starts this program again with it.
func engineCommand(env Env) *cobra.Command {
	return &cobra.Command{Use: "engine", Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := build.ParseEngineArgs(args)
			if err != nil {
				return err
			}
			o.Parent, o.Status = env.Stdin, env.Stdout
			return build.Serve(cmd.Context(), o)
		}}
}

func keyCommand(env Env) *cobra.Command {
	var prefix string
	generate := &cobra.Command{
		Use: "generate", Short: "Make a signing key pair in cosign's format",
		Long:    "Make cosign.key, encrypted with a password (COSIGN_PASSWORD, else asked for), and cosign.pub. Nothing is overwritten.",
		Example: "  sealyard key generate\n  sealyard key generate --output-key-prefix release", Args: exactly(),
		RunE: func(*cobra.Command, []string) error { return generateKey(env, prefix) },
	}
	generate.Flags().StringVar(&prefix, "output-key-prefix", "cosign", "name of the two files, before .key and .pub")
	return group("key", "Make keys to sign with", generate)
}

func generateKey(env Env, prefix string) error {
	s := newSession(env, values{}, "key")
	for _, name := range []string{prefix + ".key", prefix + ".pub"} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			return hint.Misuse(fmt.Errorf("%q is there already", name), "choose another name with --output-key-prefix")
		}
	}
	password, err := s.password("Password for the new key (empty for none): ", keyPassword)
	if err != nil {
		return err
	}
	if len(password) == 0 {
		fmt.Fprintln(env.Stderr, "the key has no password: whoever reads the file can sign with it")
	}
	private, public, err := attest.GenerateKey(password)
	if err != nil {
		return err
	}
	if err := writeNew(prefix+".key", private, 0o600); err != nil {
		return err
	}
	if err := writeNew(prefix+".pub", public, 0o644); err != nil {
		return errors.Join(err, os.Remove(prefix+".key"))
	}
	fmt.Fprintf(env.Stdout, "wrote %s.key and %s.pub\n", prefix, prefix)
	return nil
}

// writeNew writes a file that must not exist.
func writeNew(name string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %q: %w", name, err), os.Remove(name))
	}
	return nil
}

func dbCommand(env Env) *cobra.Command {
	root, digest, mirror := "", "", ""
	place := func() (string, error) {
		if root != "" {
			return root, nil
		}
		return env.cache("db")
	}
	show := func(info scan.DBInfo, err error) error {
		if err != nil {
			return err
		}
		return printJSON(env.Stdout, info)
	}
	run := func(work func(ctx context.Context, root string, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			dir, err := place()
			if err != nil {
				return err
			}
			return work(cmd.Context(), dir, args)
		}
	}
	update := &cobra.Command{Use: "update", Short: "Fetch the vulnerability database from a mirror", Args: exactly(),
		Example: "  sealyard db update\n  sealyard db update --db-url https://mirror.example/vulnerability-db.tar.zst",
		RunE: run(func(ctx context.Context, root string, _ []string) error {
			return show(scan.Update(ctx, mirror, root, scan.UpdateOptions{Digest: digest}))
		})}
	update.Flags().StringVar(&mirror, "db-url", "", "archive, listing or mirror (default: the public one of grype)")
	imp := &cobra.Command{Use: "import ARCHIVE", Short: "Make a database archive the current one", Args: exactly("ARCHIVE"),
		Example: "  sealyard db import vulnerability-db.tar.zst --digest sha256:…",
		RunE: run(func(ctx context.Context, root string, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return hint.Misuse(fmt.Errorf("database archive %q: %w", args[0], errors.Unwrap(err)), "name an archive as grype db import takes it")
			}
			info, err := scan.Import(ctx, args[0], digest, root)
			return show(info, advise(err, "fetch the archive again; it must be one that grype db import takes"))
		})}
	status := &cobra.Command{Use: "status", Short: "Show the current database", Args: exactly(), Example: "  sealyard db status",
		RunE: run(func(_ context.Context, root string, _ []string) error { return show(scan.Status(root)) })}
	for _, c := range []*cobra.Command{update, imp} {
		c.Flags().StringVar(&digest, "digest", "", "digest the archive must have, sha256:…")
	}
	db := group("db", "Fetch, import and show the vulnerability database", update, imp, status)
	db.PersistentFlags().StringVar(&root, "db", "", "directory of the database (default: sealyard/db in the user's cache directory)")
	return db
}

// printer writes lines until one fails.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(indent, format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, indent+report.Clean(fmt.Sprintf(format, args...)))
	}
}
