package build

import (
	"os/exec"
	"syscall"
)

// isolate makes cmd a process group of its own (Ctrl-C reaches us, not it: we tell it), tied to the thread that starts
// it and, when asked, the first process of new process and mount namespaces. The signal lets it unwind its builds, as
// the end of its stdin does.
func isolate(cmd *exec.Cmd, namespaces bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if namespaces {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS
	}
}
