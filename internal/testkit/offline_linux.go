package testkit

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Offline makes cmd run in a network namespace of its own, whose only interface, loopback, is down: whatever cmd
// does, no packet leaves it. As another user than root it needs a user namespace as well; where the kernel
// refuses that, the test is skipped.
func Offline(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	offline(cmd)
	probe := exec.Command("/proc/self/exe", "-test.run=^$")
	offline(probe)
	err := probe.Run()
	if os.Geteuid() != 0 && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC)) {
		t.Skipf("the kernel gives this user no network namespace: %v", err)
	}
	if err != nil {
		t.Fatalf("network namespace: %v", err)
	}
}

func offline(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	if os.Geteuid() == 0 {
		return
	}
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
}
