package report

import (
	"bytes"
	"io"
	"strings"
)

// maxLine bounds a line that Plain holds back; a longer one is passed on in pieces.
const maxLine = 64 << 10

// Plain is a writer for the output of foreign programs: lines stay as they are, but for colours, which are dropped, and
// characters that would act on a terminal, which are shown (T2). Close writes what was held back; it does not close the
// writer below.
type Plain struct {
	w    io.Writer
	held []byte
}

// NewPlain writes to w.
func NewPlain(w io.Writer) *Plain { return &Plain{w: w} }

// Write writes the complete lines of p and keeps the rest for later.
func (p *Plain) Write(b []byte) (int, error) {
	p.held = append(p.held, b...)
	end := bytes.LastIndexByte(p.held, '\n') + 1
	if end == 0 && len(p.held) > maxLine {
		end = len(p.held)
	}
	if err := p.pass(p.held[:end]); err != nil {
		return 0, err
	}
	p.held = append(p.held[:0], p.held[end:]...)
	return len(b), nil
}

// Close writes what was held back.
func (p *Plain) Close() error {
	defer func() { p.held = nil }()
	return p.pass(p.held)
}

func (p *Plain) pass(text []byte) error {
	var out strings.Builder
	for line := range strings.SplitAfterSeq(string(text), "\n") {
		body, eol := strings.CutSuffix(line, "\n")
		indent := body[:len(body)-len(strings.TrimLeft(body, " \t"))]
		out.WriteString(indent + printable(csi.ReplaceAllString(body, "")))
		if eol {
			out.WriteByte('\n')
		}
	}
	_, err := io.WriteString(p.w, out.String())
	return err
}
