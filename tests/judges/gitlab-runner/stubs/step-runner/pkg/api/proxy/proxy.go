// Package proxy passes nothing on.
package proxy

import (
	"errors"
	"io"
	"net"
)

func Proxy(io.Reader, io.Writer, net.Conn) error { return errors.New("steps are not built in") }
