package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/creack/pty"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// ExecInContainer runs the command in the container's directory.
func (k *kubelet) ExecInContainer(ctx context.Context, pod, _ string, container string, argv []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	k.commands.Add(1)
	defer k.commands.Done()
	dir := filepath.Join(k.root, pod, container)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "HOSTNAME=" + filepath.Base(pod), "CONTAINER=" + container}
	// A group of its own, which ends as one. What left the group may hold the outputs open, but not for ever.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: !tty}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 2 * time.Second
	if tty {
		command.Env = append(command.Env, "TERM=xterm")
		return exitCode(runOnTerminal(command, in, out, resize))
	}
	if out != nil {
		command.Stdout = out
	}
	if errOut != nil {
		command.Stderr = errOut
	}
	if in != nil {
		pipe, err := command.StdinPipe()
		if err != nil {
			return err
		}
		// Not the command's own Stdin: waiting for it would wait for the client to close its side.
		go func() {
			_, _ = io.Copy(pipe, in)
			_ = pipe.Close()
		}()
	}
	return exitCode(command.Run())
}

func runOnTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	terminal, err := pty.Start(command)
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range resize {
			_ = pty.Setsize(terminal, &pty.Winsize{Rows: size.Height, Cols: size.Width})
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(terminal, in) }()
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if out != nil {
			_, _ = io.Copy(out, terminal) // ends with EIO once nobody has the terminal open
		}
	}()
	err = command.Wait()
	select {
	case <-copied:
	case <-time.After(command.WaitDelay):
	}
	return err
}

// exitCode is what a runtime says of a command that ended: 126 and 127 as a shell would where it never began.
func exitCode(err error) error {
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.Exited():
		return utilexec.CodeExitError{Err: err, Code: ended.ExitCode()}
	case errors.As(err, &ended):
		return utilexec.CodeExitError{Err: err, Code: 128 + signalOf(ended)}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return utilexec.CodeExitError{Err: err, Code: 127}
	case errors.Is(err, os.ErrPermission):
		return utilexec.CodeExitError{Err: err, Code: 126}
	}
	return err
}

func signalOf(ended *exec.ExitError) int {
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
