package action

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/go-json-experiment/json"

	"github.com/sealyard/sealyard/action/report"
	"github.com/sealyard/sealyard/internal/hint"
)

// maxAuditLine bounds one line of results, in bytes; the longest we write has a tenth of that.
const maxAuditLine = 1 << 20

// auditLog is where an audit writes its results, one line an image, as they come.
type auditLog struct {
	out  io.Writer
	done map[string]report.AuditLine // what was decided before, without messages
}

// openAuditLog opens a file of results and reads what is done: every target whose last line has a decision. The last line is taken
// out if it is not whole, as a crash leaves it. A file that holds anything else, or results that rest on another basis, is misuse.
func openAuditLog(name, basis string) (*auditLog, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, hint.Misuse(fmt.Errorf("--output: %w", err), "name a file that can be written")
	}
	l := &auditLog{out: f, done: map[string]report.AuditLine{}}
	if err := l.resume(f, basis); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func (l *auditLog) resume(f *os.File, basis string) error {
	name := f.Name()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return hint.Misuse(fmt.Errorf("results %q: another audit writes them (%w)", name, err), "give each audit an --output of its own")
	}
	r := bufio.NewReaderSize(f, 64<<10)
	whole := int64(0) // bytes of the lines that are whole
	for n := 1; ; n++ {
		raw, err := readLine(r)
		if errors.Is(err, io.EOF) {
			if len(raw) > 0 {
				return f.Truncate(whole)
			}
			return nil
		}
		if err != nil {
			return hint.Misuse(fmt.Errorf("results %q, line %d: %w", name, n, err), "name another --output")
		}
		whole += int64(len(raw))
		if err := l.take(raw, basis); err != nil {
			return fmt.Errorf("results %q, line %d: %w", name, n, err)
		}
	}
}

// take notes a line that was written before.
func (l *auditLog) take(raw []byte, basis string) error {
	var line report.AuditLine
	if err := json.Unmarshal(raw, &line); err != nil || line.Target == "" || line.Basis == "" {
		return hint.Misuse(errors.New("it is no result of an audit"), "name another --output: this file is something else")
	}
	if line.Basis != basis {
		return hint.Misuse(errors.New("it rests on other keys, identities or policies"), "name another --output, or go on with what the first run was given")
	}
	delete(l.done, line.Target)
	if line.Verdict != report.VerdictAllowed && line.Verdict != report.VerdictDenied {
		return nil
	}
	for i := range line.Reasons {
		line.Reasons[i].Message = ""
	}
	l.done[line.Target] = report.AuditLine{Target: line.Target, Verdict: line.Verdict, Reasons: line.Reasons}
	return nil
}

// readLine reads up to and with the next line feed. What comes before the end of the input without one is returned with io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxAuditLine {
			return nil, fmt.Errorf("more than %d bytes", maxAuditLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// close closes the file of results; every line was written before.
func (l *auditLog) close() error {
	if f, ok := l.out.(*os.File); ok && l.done != nil {
		return f.Close()
	}
	return nil
}
