package attest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	tilespb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	rekorclient "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"
)

const tilesPath = "/api/v2/log/entries"

// errEquivalent says that the log has this very signature already: an earlier request reached it, and its answer not us.
var errEquivalent = errors.New("an equivalent entry is there already")

// notary is a log whose failures can be told from those of other services.
type notary struct{ sign.Transparency }

// GetTransparencyLogEntry implements sign.Transparency.
func (n notary) GetTransparencyLogEntry(ctx context.Context, certificate []byte, b *protobundle.Bundle) error {
	if err := n.Transparency.GetTransparencyLogEntry(ctx, certificate, b); err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	return nil
}

// rekor speaks to a log through client. sigstore-go's own clients wait for nothing between tries (version 1), or try once
// and for no longer than 30 s (version 2).
func rekor(l root.Service, client *http.Client) (sign.Transparency, error) {
	opts := &sign.RekorOptions{BaseURL: l.URL, Timeout: -1, Version: l.MajorAPIVersion}
	if l.MajorAPIVersion == 2 {
		opts.ClientV2 = tiles{url: strings.TrimSuffix(l.URL, "/") + tilesPath, client: client}
		return notary{sign.NewRekor(opts)}, nil
	}
	u, err := url.Parse(l.URL)
	if err != nil {
		return nil, fmt.Errorf("log %q: %w", l.URL, err)
	}
	path := u.Path
	if path == "" {
		path = rekorclient.DefaultBasePath
	}
	opts.Client = rekorclient.New(httptransport.NewWithClient(u.Host, path, []string{u.Scheme}, client), strfmt.Default).Entries
	return notary{sign.NewRekor(opts)}, nil
}

// tiles writes to a log of version 2 (rekor-v2-spec, "Write API").
type tiles struct {
	url    string
	client *http.Client
}

// Add implements sign.RekorV2Client.
func (t tiles) Add(ctx context.Context, entry any) (*protorekor.TransparencyLogEntry, error) {
	record, ok := entry.(*tilespb.HashedRekordRequestV002)
	if !ok {
		return nil, fmt.Errorf("an entry of type %T", entry)
	}
	body, err := protojson.Marshal(&tilespb.CreateEntryRequest{Spec: &tilespb.CreateEntryRequest_HashedRekordRequestV002{HashedRekordRequestV002: record}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := wholeAnswer(res.Body)
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusConflict:
		return nil, errEquivalent
	case res.StatusCode != http.StatusCreated:
		return nil, fmt.Errorf("it answered %d %q", res.StatusCode, raw[:min(len(raw), maxRefusal)])
	}
	out := &protorekor.TransparencyLogEntry{}
	if err := protojson.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return out, nil
}
