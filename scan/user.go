package scan

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
)

// User is who an image's process runs as, resolved through /etc/passwd of the final filesystem (R87, R88).
type User struct {
	Raw string // USER of the image's config: "", "1000", "app:app", "0:0"
	UID int    // 0 is root; -1 when the name is in no passwd file or the number is no user id
}

// maxPasswd is how much of a passwd file is read. Runtimes read all of it; a longer one is no passwd file.
const maxPasswd = 1 << 20

const maxUID = 1<<31 - 1 // the largest user id that runc accepts

// resolveUser finds the user id behind a config's USER. Runtimes disagree on numbers that are also names, so the answer
// is root when any of them would run as root. As in runc, an unreadable user id in passwd counts as 0.
func resolveUser(raw string, passwd []byte) User {
	name, _, _ := strings.Cut(raw, ":")
	u := User{Raw: raw, UID: -1}
	if name == "" {
		u.UID = 0
		return u
	}
	number, err := strconv.Atoi(name)
	if err == nil && number >= 0 && number <= maxUID {
		u.UID = number
	}
	lines := bufio.NewScanner(bytes.NewReader(passwd))
	lines.Buffer(nil, maxPasswd+1)
	for lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if fields[0] != name {
			continue
		}
		uid := 0
		if len(fields) > 2 {
			uid, _ = strconv.Atoi(fields[2])
		}
		if u.UID < 0 || uid == 0 {
			u.UID = uid
		}
		if uid == 0 || err != nil {
			break
		}
	}
	if u.UID < 0 || u.UID > maxUID {
		u.UID = -1
	}
	return u
}
