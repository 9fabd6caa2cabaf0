package scan

import "testing"

// R87: USER is root when it is empty, 0, root, or a name or number that any runtime resolves to 0.
func TestResolveUser(t *testing.T) {
	const passwd = "root:x:0:0::/root:/bin/sh\n\ntoor:x:0:0::/:\napp:x:1000:1000::/:\n1001:x:0:0::/:\nbroken:x:huh:1::/:\nshort\nbig:x:99999999999:0::/:\n"
	for raw, want := range map[string]int{
		"":               0,
		"0":              0,
		"00":             0,
		"+0":             0,
		"0:0":            0,
		"root":           0,
		"root:app":       0,
		":app":           0,
		"toor":           0,
		"1000":           1000,
		"1000:0":         1000,
		"app":            1000,
		"app:root":       1000,
		"1001":           0, // a name that is a number, of a root account
		"broken":         0,
		"short":          0,
		"missing":        -1,
		"-1":             -1,
		"2147483647":     2147483647,
		"2147483648":     -1,
		"4294967296":     -1,
		"big":            -1,
		"App":            -1,
		"99999999999999": -1,
	} {
		if got := resolveUser(raw, []byte(passwd)); got.UID != want || got.Raw != raw {
			t.Errorf("resolveUser(%q) = %+v, want %d", raw, got, want)
		}
	}
	if got := resolveUser("65532", nil); got.UID != 65532 {
		t.Errorf("without passwd: %+v", got)
	}
}

func FuzzResolveUser(f *testing.F) {
	f.Add("app:app", []byte("root:x:0:0:::\napp:x:1:1:::\n"))
	f.Add("0", []byte(nil))
	f.Add("1001", []byte("1001:x:\n"))
	f.Fuzz(func(t *testing.T, raw string, passwd []byte) {
		u := resolveUser(raw, passwd)
		if u.Raw != raw || u.UID < -1 || u.UID > maxUID {
			t.Errorf("resolveUser(%q, %q) = %+v", raw, passwd, u)
		}
		if raw == "" && u.UID != 0 {
			t.Errorf("empty USER is %d", u.UID)
		}
	})
}
