// The streams of a kubelet, for tests: exec, attach, port-forward and logs of every container of one node.
//
// A container is a directory. What is run in it is run on this machine, in that directory, as the user who started this. Its main
// process is as `cat` would be: what is typed at it is added to its log. kwok keeps nodes and pods alive, and has such streams
// too, but never ends a command's standard input, and says 1 for every exit code.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

const (
	idle     = time.Hour
	creation = 30 * time.Second
)

type kubelet struct {
	root     string           // has NAMESPACE/POD/CONTAINER/, and NAMESPACE/POD/CONTAINER.log beside each
	forwards map[int32]string // what a port of any pod leads to
	commands sync.WaitGroup
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	root := flag.String("root", "", "directory of the containers")
	ca := flag.String("client-ca", "", "file: whose clients may come in")
	cert := flag.String("cert", "", "file: certificate of this server")
	key := flag.String("key", "", "file: its key")
	k := &kubelet{forwards: map[int32]string{}}
	flag.Func("forward", "PORT=ADDRESS, may be repeated", func(value string) error {
		from, to, _ := strings.Cut(value, "=")
		port, err := strconv.ParseInt(from, 10, 32)
		k.forwards[int32(port)] = to
		return err
	})
	flag.Parse()
	k.root = *root

	pem, err := os.ReadFile(*ca)
	must(err)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(pem)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	server := &http.Server{
		Addr:        *listen,
		Handler:     k.routes(),
		BaseContext: func(net.Listener) context.Context { return stop },
		TLSConfig:   &tls.Config{ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12},
		// SPDY takes a connection of HTTP/1.1 over.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() { must(server.ListenAndServeTLS(*cert, *key)) }()
	<-stop.Done()
	cancel()
	// The commands are killed with their contexts.
	k.commands.Wait()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func (k *kubelet) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, handler http.HandlerFunc) {
		mux.HandleFunc("GET "+path, handler)
		mux.HandleFunc("POST "+path, handler)
	}
	handle("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, k, pod(r), "", r.PathValue("container"), r.URL.Query()["command"], options, idle, creation,
			remotecommand.SupportedStreamingProtocols)
	})
	handle("/attach/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeAttach(w, r, k, pod(r), "", r.PathValue("container"), options, idle, creation,
			remotecommand.SupportedStreamingProtocols)
	})
	handle("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, k, pod(r), "", options, idle, creation, portforward.SupportedProtocols)
	})
	handle("/containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		options, err := logOptions(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := flushed{w, http.NewResponseController(w)}
		if err := k.readLog(r.Context(), pod(r), r.PathValue("container"), options, out); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	return mux
}

func pod(r *http.Request) string { return filepath.Join(r.PathValue("namespace"), r.PathValue("pod")) }

type flushed struct {
	io.Writer
	control *http.ResponseController
}

func (f flushed) Write(bytes []byte) (int, error) {
	n, err := f.Writer.Write(bytes)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
