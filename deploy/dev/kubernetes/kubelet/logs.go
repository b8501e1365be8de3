package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crilogs "k8s.io/cri-client/pkg/logs"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// AttachContainer shows what the container logs from now on, and adds what is typed to it.
func (k *kubelet) AttachContainer(ctx context.Context, pod, _ string, container string, in io.Reader, out, errOut io.WriteCloser,
	_ bool, resize <-chan remotecommand.TerminalSize) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for range resize {
		}
	}()
	// Since now, whenever the log is opened: what is typed at once must not be missed.
	options := &crilogs.LogOptions{Since: time.Now(), Follow: true}
	shown := &counted{Writer: writers(out, errOut)}
	if in != nil {
		go func() {
			lines := bufio.NewScanner(in)
			var typed int64
			for lines.Scan() {
				typed++
				_ = k.appendLine(pod, container, lines.Text())
			}
			// The main process ends with its input, once its last line was seen.
			for end := time.Now().Add(10 * time.Second); shown.lines.Load() < typed && time.Now().Before(end); {
				time.Sleep(20 * time.Millisecond)
			}
			cancel()
		}()
	}
	err := k.readLog(ctx, pod, container, options, shown)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// counted knows how many lines were written to it; they come one at a time.
type counted struct {
	io.Writer
	lines atomic.Int64
}

func (c *counted) Write(line []byte) (int, error) {
	n, err := c.Writer.Write(line)
	c.lines.Add(1)
	return n, err
}

func writers(out, errOut io.WriteCloser) io.Writer {
	switch {
	case out != nil:
		return out
	case errOut != nil:
		return errOut
	}
	return io.Discard
}

var appending sync.Mutex

// appendLine logs in the format of the container runtime interface.
func (k *kubelet) appendLine(pod, container, line string) error {
	appending.Lock()
	defer appending.Unlock()
	file, err := k.openLog(pod, container)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, "%s stdout F %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
	return err
}

func (k *kubelet) openLog(pod, container string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(k.root, pod), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(k.root, pod, container+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
}

func (k *kubelet) readLog(ctx context.Context, pod, container string, options *crilogs.LogOptions, out io.Writer) error {
	file, err := k.openLog(pod, container)
	if err != nil {
		return err
	}
	defer file.Close()
	return crilogs.ReadLogs(ctx, file.Name(), "", options, alwaysRunning{}, out, out)
}

// alwaysRunning is asked whether a container whose log is followed has ended.
type alwaysRunning struct{ criapi.RuntimeService }

func (alwaysRunning) ContainerStatus(context.Context, string, bool) (*runtimeapi.ContainerStatusResponse, error) {
	return nil, status.Error(codes.Unavailable, "there is no container runtime")
}

// logOptions reads what kube-apiserver passes on of PodLogOptions.
func logOptions(query url.Values) (*crilogs.LogOptions, error) {
	options := &crilogs.LogOptions{}
	var err error
	number := func(name string) *int64 {
		if !query.Has(name) || err != nil {
			return nil
		}
		var n int64
		n, err = strconv.ParseInt(query.Get(name), 10, 64)
		return &n
	}
	options.TailLines = number("tailLines")
	options.LimitBytes = number("limitBytes")
	if seconds := number("sinceSeconds"); seconds != nil {
		options.Since = time.Now().Add(-time.Duration(*seconds) * time.Second)
	}
	if query.Has("sinceTime") && err == nil {
		options.Since, err = time.Parse(time.RFC3339, query.Get("sinceTime"))
	}
	options.Follow = query.Get("follow") == "true"
	options.Timestamp = query.Get("timestamps") == "true"
	return options, err
}
