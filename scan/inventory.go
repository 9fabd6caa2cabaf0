package scan

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/sbom"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// inventory is what is in an image's layers. It depends on them alone, and not on the rest of the image, its name, the
// time or the database: a build that changes a label has the inventory of the one before.
type inventory struct {
	bom    *sbom.SBOM
	passwd []byte
}

// syftVersion is the version of the syft that is linked into this program: another one may find more.
const syftVersion = "v1.57.0"

const (
	maxInventories = 64       // kept; the one used longest ago goes first
	maxInventory   = 64 << 20 // bytes of one, unpacked: an image with 4,000 packages has 10 MB
	newInventory   = ".new-"  // what the name of one begins with while it is written
)

// inventory finds the packages of t, or knows them from a scan of the same layers. Either way every layer is what its
// digest says.
func (s *scanner) inventory(ctx context.Context, t target) (inv inventory, known bool, err error) {
	key, err := s.inventoryKey(t)
	if err != nil {
		return inventory{}, false, err
	}
	kept, err := openCache(s.opts.Cache)
	if err == nil {
		defer kept.Close()
		if inv, err := kept.read(key, s.opts.Time); err == nil {
			return inv, true, s.checkLayers(ctx, t)
		}
	}
	if inv, err = s.takeInventory(ctx, t); err != nil {
		return inventory{}, false, err
	}
	if kept.Root != nil && len(inv.bom.Artifacts.Unknowns) == 0 { // what could not be read may be read the next time
		_ = kept.write(key, inv, s.opts.Time) // what cannot be kept is found again: that costs time and nothing else
	}
	return inv, false, nil
}

func (s *scanner) takeInventory(ctx context.Context, t target) (inv inventory, err error) {
	img, err := s.unpack(ctx, t)
	if err != nil {
		return inventory{}, err
	}
	defer img.cleanup()
	if inv.bom, err = s.catalog(ctx, img); err != nil {
		return inventory{}, err
	}
	inv.passwd, err = img.passwd()
	return inv, err
}

// inventoryKey stands for all that the inventory of t depends on. Its parts are quoted, for a media type is whatever the
// manifest says: two images must not have one key (T11).
func (s *scanner) inventoryKey(t target) (string, error) {
	parts := []string{s.opts.Version, syftVersion}
	for i, l := range t.manifest.Layers {
		parts = append(parts, string(l.MediaType), l.Digest.String(), fmt.Sprint(l.Size), t.config.RootFS.DiffIDs[i].String())
	}
	raw, err := json.Marshal(parts)
	return fmt.Sprintf("%x", sha256.Sum256(raw)), err
}

// checkLayers reads every layer and compares it with its digest. That they unpack to what the config says, and within
// all limits, was seen when the inventory was made.
func (s *scanner) checkLayers(ctx context.Context, t target) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxAtOnce)
	for _, l := range t.manifest.Layers {
		g.Go(func() error {
			f, err := s.store.open(l)
			if err != nil {
				return err
			}
			content := &meter{r: f, hash: sha256.New(), check: func(_, _ int64) error { return ctx.Err() }}
			_, err = io.Copy(io.Discard, content)
			if got := content.sum(); err == nil && got != l.Digest.Hex {
				err = fmt.Errorf("content has digest sha256:%s", got)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				return &layerError{digest: l.Digest.String(), err: err}
			}
			return nil
		})
	}
	return g.Wait()
}

// cache is the directory that inventories are kept in.
type cache struct{ *os.Root }

// openCache opens the directory, and makes it when it is not there. It must be ours and nobody else may write to it or
// put another in its place: whoever can, can hide packages.
func openCache(dir string) (cache, error) {
	if dir == "" {
		return cache{}, errors.New("no directory for inventories")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cache{}, err
	}
	for _, d := range []string{filepath.Dir(dir), dir} {
		if info, err := os.Lstat(d); err != nil || !info.IsDir() || !oursAlone(info) {
			return cache{}, errors.Join(fmt.Errorf("%q is not ours alone", d), err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return cache{}, err
	}
	if info, err := root.Stat("."); err != nil || !oursAlone(info) {
		return cache{}, errors.Join(fmt.Errorf("%q is not ours alone", dir), err, root.Close())
	}
	return cache{root}, nil
}

// oursAlone reports whether a file belongs to the user who runs this program, and nobody else may write to it.
func oursAlone(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid()) && info.Mode().Perm()&0o022 == 0
}

// saved is the form of an inventory on disk: syft's own JSON, and the file beside it.
type saved struct {
	Passwd []byte          `json:"passwd"`
	SBOM   json.RawMessage `json:"sbom"`
}

// read returns the inventory with the given key and notes when it was used.
func (c cache) read(key string, used time.Time) (inventory, error) {
	f, err := c.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return inventory{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !oursAlone(info) {
		return inventory{}, errors.Join(fmt.Errorf("inventory %q is not ours alone", key), err)
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(maxInventory), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return inventory{}, err
	}
	defer z.Close()
	raw, err := io.ReadAll(io.LimitReader(z, maxInventory+1))
	if err != nil {
		return inventory{}, err
	}
	var doc saved
	if err := json.Unmarshal(raw, &doc); err != nil {
		return inventory{}, err
	}
	bom, _, _, err := syftjson.NewFormatDecoder().Decode(bytes.NewReader(doc.SBOM))
	if err != nil {
		return inventory{}, err
	}
	_ = c.Chtimes(key, used, used) // the next to go is another
	return inventory{bom: bom, passwd: doc.Passwd}, nil
}

// write keeps the inventory under key. It is there whole or not at all.
func (c cache) write(key string, inv inventory, used time.Time) error {
	var bom bytes.Buffer
	if err := syftjson.NewFormatEncoder().Encode(&bom, *inv.bom); err != nil {
		return err
	}
	raw, err := json.Marshal(saved{Passwd: inv.passwd, SBOM: bom.Bytes()})
	if err != nil {
		return err
	}
	if len(raw) > maxInventory {
		return fmt.Errorf("inventory %q has %d bytes", key, len(raw))
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	name := newInventory + key
	err = c.WriteFile(name, z.EncodeAll(raw, nil), 0o600)
	if err == nil {
		err = errors.Join(c.Chtimes(name, used, used), c.Rename(name, key))
	}
	if err != nil {
		return errors.Join(err, c.Remove(name))
	}
	return c.forgetOldest()
}

// forgetOldest leaves the maxInventories inventories that were used last.
func (c cache) forgetOldest() error {
	dir, err := c.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	all, err := dir.Readdir(-1)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(i os.FileInfo) bool { return strings.HasPrefix(i.Name(), newInventory) })
	slices.SortFunc(all, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, old := range all[min(len(all), maxInventories):] {
		err = errors.Join(err, c.Remove(old.Name()))
	}
	return err
}
