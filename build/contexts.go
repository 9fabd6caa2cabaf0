package build

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/sealyard/sealyard/internal/hint"
	"github.com/tonistiigi/fsutil"
)

// addContexts adds the plan's named contexts.
func (b *job) addContexts(opt *client.SolveOpt) error {
	for i, name := range sortedKeys(b.plan.BuildContexts) {
		source := b.plan.BuildContexts[name]
		key := "context:" + name
		switch {
		case strings.HasPrefix(source, "docker-image://"):
			opt.FrontendAttrs[key] = source
		case strings.HasPrefix(source, "oci-layout://"):
			store, digest, err := openOCILayout(strings.TrimPrefix(source, "oci-layout://"))
			if err != nil {
				return hint.Misuse(fmt.Errorf("build context %q: %w", name, err), "write oci-layout://directory[:tag|@digest]")
			}
			id := "layout" + strconv.Itoa(i)
			if opt.OCIStores == nil {
				opt.OCIStores = map[string]content.Store{}
			}
			opt.OCIStores[id] = store
			opt.FrontendAttrs[key] = "oci-layout://" + id + "@" + digest
		default:
			if info, err := os.Stat(source); err == nil && info.IsDir() {
				fs, err := fsutil.NewFS(source)
				if err != nil {
					return fmt.Errorf("build context %q: %w", name, err)
				}
				opt.LocalMounts[name] = fs
				opt.FrontendAttrs[key] = "local:" + name
				continue
			}
			if err := checkGitURL(source); err != nil {
				return fmt.Errorf("build context %q: %w", name, err)
			}
			opt.FrontendAttrs[key] = source
		}
	}
	return nil
}
