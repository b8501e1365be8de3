package main

import (
	"context"
	"fmt"
	"io"
	"net"
)

// echo is the port at which every pod says back what it is told.
const echo = 7

// PortForward connects the stream with what listens at the port.
func (k *kubelet) PortForward(ctx context.Context, pod, _ string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	if port == echo {
		_, err := io.Copy(stream, stream)
		return err
	}
	address, known := k.forwards[port]
	if !known {
		return fmt.Errorf("failed to connect to localhost:%d inside namespace of %s: connection refused", port, pod)
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, connection)
	return err
}
