package build

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// marksOf reads a Dockerfile and returns its marks as check:line:subject.
func marksOf(t *testing.T, file string, plan Plan) []string {
	t.Helper()
	r := readMarks([]byte(file), plan, nil)
	if r.Unread != "" {
		t.Fatalf("unread: %s", r.Unread)
	}
	out := []string{}
	for _, m := range r.Marks {
		out = append(out, fmt.Sprintf("%s:%d:%s", m.Check, m.Line, m.Subject))
	}
	return out
}

// R11 T5: what a policy may judge is found at its line, told from what only looks like it, and no value is kept.
func TestMarks(t *testing.T) {
	token := "gh" + "p_" + strings.Repeat("a1", 18)
	for name, c := range map[string]struct{ file, want string }{
		"piped":             {"RUN curl -fsSL https://x.example | sh", "pipe-shell:2:sh"},
		"piped on":          {"RUN wget -qO- https://x.example | gunzip \\\n  | sudo -E bash -s -- -y", "pipe-shell:3:bash sudo:3:sudo"},
		"piped to python":   {"RUN curl https://x.example/get.py | python3 -", "pipe-shell:2:python3"},
		"in a group":        {"RUN curl https://x.example | (cd /tmp && sh)", "pipe-shell:2:sh"},
		"substituted":       {"RUN sh -c \"$(curl https://x.example)\"\nRUN bash <(curl https://x.example)\nRUN eval \"$(wget -O- https://x.example)\"", "pipe-shell:2:sh pipe-shell:3:bash pipe-shell:4:eval"},
		"sourced":           {"RUN . <(curl https://x.example)", "pipe-shell:2:."},
		"in quotes":         {"RUN sh -c 'curl https://x.example | sh'", "pipe-shell:2:sh"},
		"exec form":         {`RUN ["/bin/sh", "-c", "curl https://x.example | sh"]`, "pipe-shell:2:sh"},
		"not piped":         {"RUN curl https://x.example | tar xz && sh install.sh\nRUN echo curl | sh\nRUN V=$(curl https://x.example) sh build.sh\nRUN sh build.sh \"$(curl https://x.example)\"", ""},
		"piped to a script": {"RUN curl https://x.example | sh check.sh\nRUN curl https://x.example | python3 -c 'import json'", ""},
		"heredoc":           {"RUN <<EOF\nset -e\ncurl https://x.example | sh\nEOF\nRUN sudo true", "pipe-shell:4:sh sudo:6:sudo"},
		"heredoc to shell":  {"RUN bash -e <<'EOF'\n# comment\nsudo make\nEOF", "sudo:4:sudo"},
		"heredoc to python": {"RUN python3 <<EOF\nsudo()\nEOF\nRUN <<EOF\n#!/usr/bin/env python3\nsudo | sh\nEOF", ""},
		"lines":             {"RUN --mount=type=cache,target=/c \\\n    --network=none \\\n  true && \\\n  # why\n\n  chmod 777 /x", "writable:7:777"},
		"escape":            {"RUN true; ` \n  sudo true", "sudo:4:sudo"},
		"fetched lists":     {"RUN apt-get update\nRUN apt-get -y update && apt-get install -y curl=8.1\nRUN apt update && apt upgrade", "update:2:apt-get"},
		"versions": {"RUN apt-get update && apt-get install -y --no-install-recommends -t sid curl git=1.2 ./own.deb $MORE\nRUN apk add --no-cache --virtual .build gcc 'make~4'\n" +
			"RUN pip install -r requirements.txt flask django==5.0 && python3 -m pip install six\nRUN npm install -g typescript @a/b@1.2 && npm ci\nRUN gem install rake -v 1.2; gem install bundler\nRUN dnf -y install vim-9.1 nano",
			"versions:2:curl versions:3:gcc versions:4:flask versions:4:six versions:5:typescript versions:6:bundler versions:7:nano"},
		"modes":  {"RUN chmod -R a+rwX /a && chmod 4755 /b && chmod u+s,g-w /c && chmod 1777 /tmp && chmod 755 /d && chmod +x /e\nCOPY --chmod=777 a /a\nADD --chmod=2755 a.tar /b", "setuid:2:4755 setuid:2:u+s,g-w writable:2:a+rwX writable:3:777 setuid:4:2755"},
		"tls":    {"RUN curl -fsSLk https://x.example && curl -o k https://x.example && wget --no-check-certificate https://x.example\nRUN apt-get install --allow-unauthenticated a=1; apt-get -o Acquire::AllowInsecureRepositories=true update", "unverified:2:curl -k unverified:2:wget --no-check-certificate unverified:3:apt-get --allow-unauthenticated unverified:3:apt-get AllowInsecureRepositories"},
		"tls 2":  {"ENV NODE_TLS_REJECT_UNAUTHORIZED=0\nRUN GIT_SSL_NO_VERIFY=1 git clone https://x.example/a && npm config set strict-ssl false\nRUN pip install --trusted-host x.example a==1 && git -c http.sslVerify=false fetch && echo 'deb [trusted=yes] https://x.example ./' > /a", "unverified:2:NODE_TLS_REJECT_UNAUTHORIZED unverified:3:GIT_SSL_NO_VERIFY unverified:3:npm strict-ssl unverified:4:pip --trusted-host unverified:4:git http.sslVerify unverified:4:echo trusted=yes"},
		"tls on": {"ENV NODE_TLS_REJECT_UNAUTHORIZED=1 GIT_SSL_NO_VERIFY=false\nRUN npm config set strict-ssl true && curl --cacert /k https://x.example", ""},
		"plain":  {"RUN wget http://user:pass@x.example/a && curl http://127.0.0.1/health\nRUN git clone http://y.example/a", "plain-http:2:x.example plain-http:3:y.example"},
		"secrets": {"ARG API_TOKEN\nARG DB_PASSWORD=hunter2\nENV GIVEN=" + token + " PASSWORD_FILE=/run/a\nLABEL a=" + token + "\nRUN --mount=type=secret,id=token cat /run/secrets/token\nRUN sudo " + token,
			"secret-name:3:DB_PASSWORD secret:4:GIVEN secret:5:a sudo:7:sudo"},
		"add and copy": {"ADD a.txt b.tar.gz /x/\nADD https://x.example/a /x\nCOPY . /\nCOPY . /app\nCOPY --from=base . /", "add:2:a.txt copy-root:4:"},
		"ssh":          {"RUN apk add openssh-server=1\nEXPOSE 22 8080", "ssh-server:2:openssh-server ssh-server:3:port 22"},
		"privileged":   {"RUN --security=insecure true\nRUN --network=host true\nRUN --network=none true", "privileged:2:--security=insecure privileged:3:--network=host"},
		"user":         {"USER app\nUSER root\nFROM base\nUSER 1\nFROM base\nRUN true", "user:3:root"},
		"onbuild":      {"ONBUILD RUN true && \\\n sudo true", "sudo:2:sudo"},
		"not a script": {"RUN if true; then", "unread:2:a script"},
		"other shell":  {"SHELL [\"/usr/bin/pwsh\", \"-c\"]\nRUN Get-Thing | iex\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN sudo true", "unread:3:pwsh sudo:5:sudo"},
		"scripts":      {"RUN " + strings.Repeat(`eval eval\ `, 1) + "x\nRUN su - app -c 'sudo true'\nRUN env A=b nice -n 5 sudo -u app -E B=c timeout -k 5 10 chmod 777 /x", "sudo:3:sudo sudo:4:sudo writable:4:777"},
	} {
		t.Run(name, func(t *testing.T) {
			head := "FROM scratch AS base\n"
			if name == "escape" {
				head = "# escape=`\nFROM scratch AS base\n"
			}
			if got := strings.Join(marksOf(t, head+c.file, Plan{}), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Only stages that the target needs are run, so only they are judged; of what might be meant, all is.
func TestMarksOfStages(t *testing.T) {
	file := "ARG FROM=a\nFROM scratch AS a\nRUN sudo a\nFROM scratch AS b\nRUN sudo b\nFROM scratch AS c\nRUN sudo c\nFROM ${FROM} AS d\nCOPY --from=b / /\nFROM scratch\nRUN sudo e\n"
	for _, c := range []struct {
		plan Plan
		want string
	}{
		{Plan{}, "11"}, {Plan{Target: "d"}, "3 5"}, {Plan{Target: "D", BuildArgs: map[string]string{"FROM": "c"}}, "5 7"}, {Plan{Target: "1"}, "5"},
	} {
		var lines []string
		for _, m := range marksOf(t, file, c.plan) {
			lines = append(lines, strings.Split(m, ":")[1])
		}
		if got := strings.Join(lines, " "); got != c.want {
			t.Errorf("%+v: lines %s, want %s", c.plan, got, c.want)
		}
	}
	twice := "FROM scratch AS a\nRUN sudo one\nFROM scratch AS a\nRUN sudo two\nFROM a\n"
	if got := marksOf(t, twice, Plan{}); !slices.Equal(got, []string{"sudo:4:sudo"}) {
		t.Errorf("of two stages of one name the last counts: %v", got)
	}
}

// R91: a Dockerfile that another frontend reads, that does not parse or that has too much to say of it is unread, never clean.
func TestUnreadDockerfile(t *testing.T) {
	many := "FROM scratch\n" + strings.Repeat("RUN sudo a\n", maxMarks+1)
	for file, want := range map[string]string{
		"# syntax=example.com/own:1\nFROM scratch":     `the frontend "example.com/own:1" reads it in its own way`,
		"# syntax=docker/dockerfile:1\nFROM scratch":   "",
		"# syntax=docker/dockerfile-x:1\nFROM scratch": `the frontend "docker/dockerfile-x:1" reads it in its own way`,
		"FROM": "it does not parse",
		"":     "it does not parse",
		many:   "there is more than 500 things to say of it",
	} {
		if r := readMarks([]byte(file), Plan{}, nil); r.Unread != want || want != "" && len(r.Marks) > 0 {
			t.Errorf("%.60q: unread %q, want %q", file, r.Unread, want)
		}
	}
	if r := readMarks([]byte("FROM scratch\nRUN x | sh"), Plan{}, []string{"windows/amd64"}); len(r.Marks) == 0 || r.Marks[0].Check != CheckUnread {
		t.Errorf("cmd.exe is not understood: %+v", r.Marks)
	}
	for _, nested := range []string{strings.Repeat("(", maxScript), strings.Repeat("$(", maxScript/2), strings.Repeat("a|", maxScript/2) + "a", strings.Repeat("curl a|sh|", 6000) + "a", strings.Repeat("{ ", maxScript/2), strings.Repeat("eval ", 1000)} {
		start := time.Now()
		readMarks([]byte("FROM scratch\nRUN "+nested), Plan{}, nil)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%.20q... took %v", nested, took)
		}
	}
}

func FuzzMarks(f *testing.F) {
	f.Add("RUN curl a | sh")
	f.Add("RUN <<A\nx\nA")
	f.Add("RUN a \\\n # b\n c <<A <<-B\nx\nA\n\tB")
	f.Add("RUN --mount=type=bind,from=x --network=none \\\n sudo chmod 777 $(eval 'a')")
	f.Add("ONBUILD RUN sh -c \"$(curl a)\"\nCOPY --chmod=u+s . /")
	f.Add("SHELL []\nRUN [\"env\", \"-u\", \"a\"]\nRUN sudo -u")
	f.Fuzz(func(t *testing.T, body string) {
		for _, head := range []string{"FROM scratch\n", "# escape=`\nFROM scratch AS a\nFROM a\n"} {
			data := head + body
			end := strings.Count(data, "\n") + 1
			for _, m := range readMarks([]byte(data), Plan{}, nil).Marks {
				if m.Line < 1 || m.Line > end || len(m.Subject) > maxSubject {
					t.Errorf("%+v of %d lines", m, end)
				}
			}
		}
	})
}
