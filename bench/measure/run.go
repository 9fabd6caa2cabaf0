//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	every     = 5 * time.Millisecond // between two looks at the memory of the tree
	tick      = 100.0                // units of time in /proc/PID/stat per second (USER_HZ)
	megabytes = 1e6
)

// run runs one command to its end.
func run(command []string, daemon int) (cost, error) {
	var output bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &output, &output
	before := processorTime(daemon)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return cost{}, err
	}
	peak, done := make(chan float64), make(chan struct{})
	go func() { peak <- watch(cmd.Process.Pid, done) }()
	err := cmd.Wait()
	wall := time.Since(start)
	close(done)
	together := <-peak
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, output.Bytes())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("no resource usage")
	}
	// The kernel keeps the peak of the largest process exactly; what all of them held together is seen by looking.
	largest := float64(usage.Maxrss) * 1024 / megabytes
	return cost{
		Name: label(command), Wall: wall.Seconds(), Peak: max(largest, together),
		CPU: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() + processorTime(daemon) - before,
	}, nil
}

// watch returns the most memory that a process and its descendants held at one moment, in MB.
func watch(pid int, done <-chan struct{}) float64 {
	var most float64
	for t := time.NewTicker(every); ; {
		select {
		case <-done:
			t.Stop()
			return most
		case <-t.C:
			own, mapped := resident(pid)
			most = max(most, own+mapped)
		}
	}
}

// resident returns what a process and its descendants hold, in MB: their own memory added up, and of files, which programs
// share, the most that one of them has mapped. A process may end between the look that found it and this one; then its files
// cannot be read and it counts nothing, which is what it holds. So errors are no errors here.
func resident(pid int) (own, mapped float64) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	status, _ := os.ReadFile(filepath.Join(proc, "status"))
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		kilobytes, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		switch name {
		case "RssAnon", "RssShmem":
			own += kilobytes * 1024 / megabytes
		case "RssFile":
			mapped = kilobytes * 1024 / megabytes
		}
	}
	lists, _ := filepath.Glob(filepath.Join(proc, "task", "*", "children"))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			if n, err := strconv.Atoi(child); err == nil {
				o, m := resident(n)
				own, mapped = own+o, max(mapped, m)
			}
		}
	}
	return own, mapped
}

// processorTime returns the seconds that a process and the children it waited for have used; 0 is no process. A daemon that is gone
// counts nothing: the commands that need it fail, and so does the row.
func processorTime(pid int) float64 {
	if pid == 0 {
		return 0
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var sum float64
	for _, i := range []int{11, 12, 13, 14} { // utime stime cutime cstime, proc(5), counted from the field after the name
		if i < len(fields) {
			v, _ := strconv.ParseFloat(fields[i], 64)
			sum += v / tick
		}
	}
	return sum
}
