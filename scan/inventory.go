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

const (
	// inventoryForm changes whenever another inventory is made of the same layers by the same syft: with
	// catalogConfig, and with what is kept.
	inventoryForm = 1

	// syftVersion is the version of the syft that is linked into this program: another one may find more.
	syftVersion = "v1.57.0"

	maxInventories = 64       // kept; the one used longest ago goes first
	maxInventory   = 64 << 20 // bytes of one, unpacked: an image with 4,000 packages has 10 MB
)

// inventory finds the packages of t, or knows them from a scan of the same layers. Either way every layer is what its
// digest says.
func (s *scanner) inventory(ctx context.Context, t target) (inv inventory, known bool, err error) {
	file := s.inventoryFile(t)
	if inv, err := readInventory(file, s.opts.Time); err == nil {
		return inv, true, s.checkLayers(ctx, t)
	}
	img, err := s.unpack(ctx, t)
	if err != nil {
		return inventory{}, false, err
	}
	defer img.cleanup()
	if inv.bom, err = s.catalog(ctx, img); err != nil {
		return inventory{}, false, err
	}
	if inv.passwd, err = img.passwd(); err != nil {
		return inventory{}, false, err
	}
	_ = inv.write(file) // what cannot be kept is found again: that costs time and nothing else
	return inv, false, nil
}

// inventoryFile is where the inventory of t is kept: "" is nowhere. Its name stands for all that the inventory depends on.
func (s *scanner) inventoryFile(t target) string {
	if s.opts.Cache == "" {
		return ""
	}
	key := fmt.Sprintln(inventoryForm, syftVersion)
	for i, l := range t.manifest.Layers {
		key += fmt.Sprintln(l.MediaType, l.Digest, l.Size, t.config.RootFS.DiffIDs[i])
	}
	return filepath.Join(s.opts.Cache, fmt.Sprintf("%x.zst", sha256.Sum256([]byte(key))))
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

// kept is the form of an inventory on disk: syft's own JSON, and the file beside it.
type kept struct {
	Passwd []byte          `json:"passwd"`
	SBOM   json.RawMessage `json:"sbom"`
}

// readInventory reads a kept inventory and notes when it was used. One that others may write to is not read.
func readInventory(file string, used time.Time) (inventory, error) {
	dir, err := os.Stat(filepath.Dir(file))
	if err != nil {
		return inventory{}, err
	}
	if dir.Mode().Perm()&0o022 != 0 {
		return inventory{}, fmt.Errorf("%q may be written to by others", filepath.Dir(file))
	}
	f, err := os.Open(file)
	if err != nil {
		return inventory{}, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(maxInventory), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return inventory{}, err
	}
	defer z.Close()
	raw, err := io.ReadAll(io.LimitReader(z, maxInventory+1))
	if err != nil {
		return inventory{}, err
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return inventory{}, err
	}
	bom, _, _, err := syftjson.NewFormatDecoder().Decode(bytes.NewReader(k.SBOM))
	if err != nil {
		return inventory{}, err
	}
	_ = os.Chtimes(file, time.Time{}, used) // the next to go is another
	return inventory{bom: bom, passwd: k.Passwd}, nil
}

// write keeps the inventory in file. It is there whole or not at all.
func (inv inventory) write(file string) error {
	if file == "" {
		return nil
	}
	var doc bytes.Buffer
	if err := syftjson.NewFormatEncoder().Encode(&doc, *inv.bom); err != nil {
		return err
	}
	raw, err := json.Marshal(kept{Passwd: inv.passwd, SBOM: doc.Bytes()})
	if err != nil || len(raw) > maxInventory {
		return err
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = z.Write(raw)
		err = errors.Join(err, z.Close())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return forgetOldest(dir)
}

// forgetOldest leaves the maxInventories inventories that were used last.
func forgetOldest(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) <= maxInventories {
		return err
	}
	used := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			used[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return used[b.Name()].Compare(used[a.Name()]) })
	for _, e := range entries[maxInventories:] {
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	return err
}
