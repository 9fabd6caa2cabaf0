package testkit

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestRegistriesAnswer(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			addr := Registry(t, kind)
			resp, err := http.Get("http://" + addr + "/v2/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

func TestProxyMisbehavesAsTold(t *testing.T) {
	p := Flaky(t, Registry(t, Olareg))
	get := func() (int, string, error) {
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		resp, err := c.Get("http://" + p.Addr + "/v2/nothing/manifests/here")
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return resp.StatusCode, string(b), err
	}
	_, clean, err := get()
	if err != nil || clean == "" {
		t.Fatalf("through: %q %v", clean, err)
	}
	p.Set(Rule{Method: "GET", Path: regexp.MustCompile("manifests"), First: 2, Times: 1, Status: 429, Body: "slow down"})
	for i, want := range []int{404, 429, 404} {
		if got, _, _ := get(); got != want {
			t.Errorf("request %d: status %d, want %d", i, got, want)
		}
	}
	if n := p.Count("GET", regexp.MustCompile("manifests")); n != 3 {
		t.Errorf("saw %d requests", n)
	}
	p.Set(Rule{Flip: true})
	if _, body, err := get(); err != nil || body == clean || len(body) != len(clean) {
		t.Errorf("flip: %q %v", body, err)
	}
	p.Set(Rule{CutDown: 3})
	if _, body, err := get(); err == nil || len(body) > 3 {
		t.Errorf("cut: %q %v", body, err)
	}
	p.Set(Rule{Endless: true})
	if _, body, err := get(); err != nil || len(body) != 4096 {
		t.Errorf("endless: %d bytes, %v", len(body), err)
	}
	p.Set(Rule{Die: true, First: 2})
	if _, _, err := get(); err != nil {
		t.Errorf("before dying: %v", err)
	}
	for range 2 {
		if _, _, err := get(); err == nil {
			t.Error("answered though dead")
		}
	}
}

func TestOfflineReachesNothing(t *testing.T) {
	addr := Registry(t, Olareg)
	port := addr[strings.LastIndex(addr, ":")+1:]
	dial := func() *exec.Cmd { return exec.Command("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+port) }
	if out, err := dial().CombinedOutput(); err != nil {
		t.Fatalf("with network: %v %s", err, out)
	}
	cmd := dial()
	Offline(t, cmd)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unreachable") {
		t.Errorf("without network: %v %s", err, out)
	}
}
